/** Stands in front of a registry, and answers 429 to more than so many requests in any second. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'undici';

export interface LimitedRegistry extends AsyncDisposable {
  readonly url: string;
  readonly accepted: () => number;
  readonly refused: () => number;
}

/** @param retryAfter what a 429 asks for, in seconds; nothing if `undefined` */
export async function startLimitedRegistry(
  registry: string,
  rate: number,
  retryAfter: number | undefined,
): Promise<LimitedRegistry> {
  const pool = new Pool(registry);
  const lately: number[] = [];
  let accepted = 0;
  let refused = 0;
  const server = createServer((request, response) => {
    const now = performance.now();
    while (lately[0] !== undefined && lately[0] <= now - 1000) lately.shift();
    if (lately.length >= rate) {
      refused++;
      response.writeHead(429, { ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }) }).end();
      return;
    }
    lately.push(now);
    accepted++;
    const { accept = '*/*' } = request.headers;
    pool
      .request({ method: request.method === 'HEAD' ? 'HEAD' : 'GET', path: request.url ?? '/', headers: { accept } })
      .then(async ({ statusCode, headers, body }) => {
        const bytes = Buffer.from(await body.arrayBuffer());
        response.writeHead(statusCode, headers).end(bytes);
      })
      .catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    accepted: () => accepted,
    refused: () => refused,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await pool.destroy();
    },
  };
}
