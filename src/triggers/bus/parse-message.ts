/** Parses messages of the bus: `{"ctype": …}`, or the same as `msg` in fedmsg's envelope `{"topic": …, "msg": …}`. */

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
  if (!isObject(document)) return { malformed: 'not a JSON object' };
  const { msg } = document;
  const ctype = isObject(msg) && typeof msg.ctype === 'string' ? msg.ctype : document.ctype;
  return typeof ctype === 'string' ? { ctype } : { malformed: 'without a ctype' };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
