/** A forward proxy for tests: opens tunnels (CONNECT) and forwards plain requests. */
import { once } from 'node:events';
import { createServer, request as send, type IncomingMessage } from 'node:http';
import { createServer as createSecureServer, type ServerOptions } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export interface ForwardProxy {
  readonly url: string;
  /** `CONNECT HOST:PORT`, or `METHOD URL`, of each request, and the login that it came with. */
  readonly seen: readonly (readonly [request: string, login: string | undefined])[];
  /** The number of connections. */
  readonly connections: () => number;
}

export interface ForwardProxyOptions {
  /** Refuses requests without this login. */
  readonly login?: string;
  /** Speaks TLS to its clients. */
  readonly tls?: ServerOptions;
}

/** The host of a played registry under a name that is not loopback, for which no proxy would be used. */
export function named(url: string): string {
  return url.replace('127.0.0.1', 'registry.test');
}

/** Starts a proxy until the test ends. It forwards requests for any name to this machine. */
export async function startForwardProxy(
  t: TestContext,
  { login, tls }: ForwardProxyOptions = {},
): Promise<ForwardProxy> {
  const seen: (readonly [string, string | undefined])[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const isLetIn = (request: IncomingMessage): boolean => {
    const { 'proxy-authorization': shown } = request.headers;
    const its = shown === undefined ? undefined : atob(shown.replace('Basic ', ''));
    seen.push([`${request.method} ${request.url}`, its]);
    return login === undefined || its === login;
  };

  const server = tls ? createSecureServer(tls) : createServer();
  server.on('connection', (socket: Socket) => {
    connections++;
    sockets.add(socket);
  });
  server.on('request', (request: IncomingMessage, response) => {
    if (!isLetIn(request)) {
      response.writeHead(407).end();
      return;
    }
    const { 'proxy-authorization': _login, ...headers } = request.headers;
    const target = new URL(request.url ?? '');
    const onward = send(
      {
        host: '127.0.0.1',
        port: target.port,
        path: target.pathname + target.search,
        method: request.method ?? 'GET',
        headers,
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.writeHead(502).end());
    request.pipe(onward);
  });
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    if (!isLetIn(request)) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      return;
    }
    const port = Number(request.url?.split(':')[1]);
    const onward = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    sockets.add(onward);
    onward.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'));
    socket.on('error', () => onward.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`, seen, connections: () => connections };
}
