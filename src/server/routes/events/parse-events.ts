/** Parses notifications from registries. Only names of repositories and tags are taken from them. */
import type { IncomingHttpHeaders } from 'node:http';
import { isJsonObject } from '../../../system/is-json-object.ts';
import { combine, malformed, type ParsedEvents, PING, type Sender } from './notification.ts';
import { acr } from './senders/acr.ts';
import { artifactory } from './senders/artifactory.ts';
import { distribution } from './senders/distribution.ts';
import { dockerHub } from './senders/docker-hub.ts';
import { gitea } from './senders/gitea.ts';
import { github } from './senders/github.ts';
import { harbor } from './senders/harbor.ts';
import { quay } from './senders/quay.ts';
import { zot } from './senders/zot.ts';

/** All senders; the first that recognises a notification parses it. */
export const SENDERS: readonly Sender[] = [
  distribution,
  acr,
  harbor,
  zot,
  quay,
  dockerHub,
  artifactory,
  // Before GitHub, whose headers they send, too.
  gitea,
  github,
];

const UTF8 = new TextDecoder('utf-8');
/** Begins a body that was sent as a form, which is the default of GitHub. */
const FORM = 'payload=';
const UNKNOWN = `it is from none of ${SENDERS.map(({ name }) => name).join(', ')}`;

/**
 * Parses a notification, or a list of them. A request without a body is a test whether it gets here. Never throws:
 * registries repeat what is refused.
 */
export function parseEvents(headers: IncomingHttpHeaders, body: Uint8Array): ParsedEvents {
  const text = payloadOf(body);
  if (text.trim() === '') return PING;
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return malformed('it is not JSON');
  }
  return Array.isArray(document)
    ? combine(document.map((member) => parseEvent(headers, member)))
    : parseEvent(headers, document);
}

/** Says whether a body is a form with a field `payload`, which has the notification. */
export function isForm(body: Uint8Array): boolean {
  return UTF8.decode(body.subarray(0, FORM.length)) === FORM;
}

/** Returns the JSON text of a body. */
export function payloadOf(body: Uint8Array): string {
  const text = UTF8.decode(body);
  return isForm(body) ? (new URLSearchParams(text).get('payload') ?? '') : text;
}

function parseEvent(headers: IncomingHttpHeaders, body: unknown): ParsedEvents {
  if (!isJsonObject(body)) return malformed('it is not a JSON object');
  for (const { parse } of SENDERS) {
    const parsed = parse({ headers, body });
    if (parsed !== undefined) return parsed;
  }
  return malformed(UNKNOWN);
}
