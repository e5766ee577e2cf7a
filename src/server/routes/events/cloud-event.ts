/** CloudEvents over HTTP, in structured and binary mode (CloudEvents 1.0, HTTP Protocol Binding). */
import type { JsonObject } from '../../../system/is-json-object.ts';
import { type Notification, objectIn } from './notification.ts';

/** The parts of a CloudEvent that say what happened. */
interface CloudEvent {
  readonly type: string;
  readonly data: JsonObject;
}

/** Returns the CloudEvent that a notification is; `undefined` if it is none. */
export function cloudEventIn({ headers, body }: Notification): CloudEvent | undefined {
  const type = headers['ce-type'];
  if (typeof type === 'string') return { type, data: body };
  return typeof body['specversion'] === 'string' && typeof body['type'] === 'string'
    ? { type: body['type'], data: objectIn(body, 'data') }
    : undefined;
}
