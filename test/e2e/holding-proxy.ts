/** A registry that stops in the middle: it passes on so many requests and leaves the next one without an answer. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { request, type Dispatcher } from 'undici';

export interface HoldingProxy extends AsyncDisposable {
  /** Without a last `/`. */
  readonly url: string;
  /** Passes on `requests` from now on; resolves when one more came, which it holds with all that follow. */
  holdAfter(requests: number): Promise<void>;
  /** Holds no more, and passes on what it held. */
  release(): void;
}

/** @param registry a URL without a last `/` */
export async function startHoldingProxy(registry: string): Promise<HoldingProxy> {
  let left = Number.POSITIVE_INFINITY;
  let { promise: held, resolve: hold } = Promise.withResolvers<void>();
  const holding: (() => void)[] = [];
  const server = createServer((received, answer) => {
    const pass = (): void => passOn(registry, received, answer);
    if (left-- > 0) return pass();
    holding.push(pass);
    hold();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    holdAfter: (requests) => {
      ({ promise: held, resolve: hold } = Promise.withResolvers<void>());
      left = requests;
      return held;
    },
    release: () => {
      left = Number.POSITIVE_INFINITY;
      for (const pass of holding.splice(0)) pass();
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function passOn(registry: string, { url, method, headers }: IncomingMessage, answer: ServerResponse): void {
  void request(`${registry}${url}`, {
    method: method as Dispatcher.HttpMethod,
    headers: { accept: headers.accept ?? '*/*' },
  })
    .then(async ({ statusCode, headers: its, body }) => pipeline(body, answer.writeHead(statusCode, its)))
    .catch(() => answer.destroy());
}
