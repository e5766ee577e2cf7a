/** A registry for tests: an HTTP server with answers of the test, and a source that reads it. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { HttpRegistrySource, type HttpRegistryOptions } from '../../../src/registry/http/http-registry-source.ts';

export type Answer = (request: IncomingMessage & { readonly url: string }, response: ServerResponse) => void;

export interface Played {
  readonly url: string;
  /** `METHOD PATH` of each request, in order. */
  readonly seen: readonly string[];
  /** The number of connections. */
  readonly connections: () => number;
}

/** Starts a server that answers with `answer` until the test ends. */
export async function playRegistry(t: TestContext, answer: Answer): Promise<Played> {
  const seen: string[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    answer(request as IncomingMessage & { url: string }, response);
  });
  server.on('connection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, connections: () => connections };
}

/** A source for `url` with short pauses between attempts. */
export function readRegistry(
  t: TestContext,
  url: string,
  options: Partial<HttpRegistryOptions> = {},
): HttpRegistrySource {
  const source = new HttpRegistrySource({
    url,
    concurrency: 16,
    timeout: 5000,
    userAgent: 'test',
    pauses: [1, 2, 3],
    ...options,
  });
  t.after(() => source.close());
  return source;
}

/** Answers with `body` as JSON. */
export function sendJson(
  response: ServerResponse,
  body: unknown,
  headers: Record<string, string> = {},
  status = 200,
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

/** All pages of an iterable. */
export async function allPages(list: AsyncIterable<readonly string[]>): Promise<(readonly string[])[]> {
  return Array.fromAsync(list);
}
