/** Makes up for a fault of stompit 1.0.0: one header of a message can end the whole process. */
import type { Client } from 'stompit';

/**
 * stompit asks the headers that it has read for `hasOwnProperty`; a message with a header of that name makes it call a text, and
 * the error is thrown where nobody can catch it. After this, the headers of `client` always have the real one, and that header is lost.
 */
export function keepHeadersReadable(client: Client): void {
  const incoming = Reflect.get(client, '_incoming') as object;
  let headers = Reflect.get(incoming, '_headers') as object;
  Object.defineProperty(incoming, '_headers', {
    get: () => headers,
    set: (fresh: object) => {
      headers = Object.defineProperty(fresh, 'hasOwnProperty', { value: (name: string) => Object.hasOwn(fresh, name) });
    },
  });
}
