/**
 * Parses messages of the bus: `{"ctype": …}`, or `{"update": {"content_type": …}}` as Bodhi tells of updates; or either
 * as `msg` in fedmsg's envelope `{"topic": …, "msg": …}`.
 */
import { isJsonObject } from '../../system/is-json-object.ts';

/** The type of the content that a message announces, or a short reason why it cannot be parsed. */
export type ParsedMessage = { readonly ctype: string } | { readonly malformed: string };

// Not fatal: ActiveMQ encodes characters beyond the BMP as two surrogates, which is invalid UTF-8 but usable JSON.
const UTF8 = new TextDecoder('utf-8');

/** Parses the body of a message. Never throws. */
export function parseMessage(body: Uint8Array): ParsedMessage {
  let document: unknown;
  try {
    document = JSON.parse(UTF8.decode(body));
  } catch {
    return { malformed: 'not JSON' };
  }
  if (!isJsonObject(document)) return { malformed: 'not a JSON object' };
  const ctype = contentTypeIn(document.msg) ?? contentTypeIn(document);
  return ctype === undefined ? { malformed: 'without ctype and update.content_type' } : { ctype };
}

function contentTypeIn(message: unknown): string | undefined {
  if (!isJsonObject(message)) return undefined;
  const { ctype, update } = message;
  const types = [ctype, isJsonObject(update) ? update.content_type : undefined];
  return types.find((type) => typeof type === 'string');
}
