/** What listens: it has the connections, whatever app answers the requests on them. */
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { KeyPair } from './key-pair.ts';

/** Whoever takes longer to send a request, or takes nothing of an answer for so long, is cut off; in milliseconds. */
const PATIENCE = 30_000;
/** How long a connection may be idle, in milliseconds. */
const KEPT_ALIVE = 72_000;
/** How often connections are closed that became idle while it stops, in milliseconds. */
const IDLE_INTERVAL = 50;

export interface FrontOptions {
  /** HTTPS with HTTP/2 and HTTP/1.1 if given. */
  readonly tls?: KeyPair | undefined;
  /** For clients that are slow on purpose, in milliseconds; {@link PATIENCE} unless given. */
  readonly patience?: number | undefined;
}

/** Where to listen. With `reusePort`, other threads may do so, too. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly reusePort: boolean;
}

/** An app, and the requests that it has not answered to their end. */
interface Answering {
  readonly app: FastifyInstance;
  requests: number;
  /** Called when there are none, once it is followed by another app. */
  ended?: () => void;
}

export class Front {
  readonly server: http.Server | http2.Http2SecureServer;
  readonly #sockets = new Set<Socket>();
  #answering: Answering;
  #closing = false;

  /** `app` is ready, and answers until {@link use}. */
  constructor(app: FastifyInstance, { tls, patience = PATIENCE }: FrontOptions = {}) {
    this.#answering = { app, requests: 0 };
    const timeouts = { requestTimeout: patience, headersTimeout: patience, connectionsCheckingInterval: Math.ceil(patience / 6) };
    if (tls === undefined) {
      this.server = http.createServer(timeouts).setTimeout(patience);
      this.server.keepAliveTimeout = KEPT_ALIVE;
    } else {
      this.server = http2.createSecureServer({ ...tls, ...timeouts, allowHTTP1: true });
      this.server.on('session', (session) => session.setTimeout(KEPT_ALIVE, () => session.close()));
    }
    const server: http.Server = this.server as http.Server;
    // Routes do not differ by the protocol: a request over HTTP/2 is handled as one over HTTP/1.1.
    server.on('request', (request, response) => this.#answer(request, response));
    server.on('clientError', (error, socket) => this.#answering.app.server.emit('clientError', error, socket));
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /** Listens, and returns the port. */
  async listen(address: Address): Promise<number> {
    this.server.listen({ ...address });
    await once(this.server, 'listening');
    return (this.server.address() as AddressInfo).port;
  }

  /**
   * Has `app` answer from now on, on the connections that there are as well. Resolves when those requests have ended that the app
   * before has got.
   */
  async use(app: FastifyInstance): Promise<void> {
    const before = this.#answering;
    this.#answering = { app, requests: 0 };
    if (before.requests > 0) await new Promise<void>((resolve) => (before.ended = resolve));
  }

  /**
   * Shows this certificate on new connections.
   * @throws Error if it listens without TLS, or the pair cannot be used; then all is as it was.
   */
  secure(pair: KeyPair): void {
    if (!('setSecureContext' in this.server)) throw new TypeError('this server listens without TLS');
    this.server.setSecureContext(pair);
  }

  /** Stops: takes no new connections, and lets the requests under way end; those that have not after `graceMs` milliseconds are cut off. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    const idle = setInterval(() => 'closeIdleConnections' in this.server && this.server.closeIdleConnections(), IDLE_INTERVAL);
    const grace = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    try {
      const ended = this.server.listening ? once(this.server, 'close') : undefined;
      const closing = this.#answering.app.close();
      if (ended) this.server.close();
      await Promise.all([closing, ended]);
    } finally {
      clearInterval(idle);
      clearTimeout(grace);
    }
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const answering = this.#answering;
    // Not while it closes: then each answer has to end its connection.
    if (!this.#closing && answering.app.answerReady?.(request, response)) return;
    answering.requests++;
    response.once('close', () => {
      answering.requests--;
      if (answering.requests === 0) answering.ended?.();
    });
    answering.app.routing(request, response);
  }
}
