/** Reads what is published on the bus: `{"ctype": …}`, or the same as `msg` of fedmsg's envelope `{"topic": …, "msg": …}`. */

/** What a message says: the kind of content that is complete, or why it cannot be read, in a few words. */
export type ParsedMessage = { readonly ctype: string } | { readonly malformed: string };

// Not fatal: ActiveMQ writes characters beyond the BMP as two surrogates, which is no UTF-8, and JSON all the same.
const UTF8 = new TextDecoder('utf-8');

/** Reads the body of a message; never throws, whatever it holds. */
export function parseMessage(body: Uint8Array): ParsedMessage {
  let document: unknown;
  try {
    document = JSON.parse(UTF8.decode(body));
  } catch {
    return { malformed: 'no JSON' };
  }
  if (!isObject(document)) return { malformed: 'no JSON object' };
  const { msg } = document;
  const ctype = isObject(msg) && typeof msg.ctype === 'string' ? msg.ctype : document.ctype;
  return typeof ctype === 'string' ? { ctype } : { malformed: 'without a ctype' };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
