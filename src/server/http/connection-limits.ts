/** Limits connections in number, idle time and stalled time, and closes them at shutdown. */
import http from 'node:http';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { KeyPair } from './key-pair.ts';
import { HTTP2_LIMITS, Http2Sessions } from './http2-sessions.ts';

/** Time to send a request, in milliseconds. */
const PATIENCE = 30_000;
/** Checks for stalled connections per {@link PATIENCE}. */
const CHECKS = 6;
/** URL and headers of a request together, in bytes. */
const MAX_HEAD = 16 * 1024;
/** Open connections; more are closed at once. */
const MAX_CONNECTIONS = 4096;
/** Idle timeout of a connection, in milliseconds. */
const KEPT_ALIVE = 72_000;
/** Interval at which idle connections are closed during shutdown, in milliseconds. */
const IDLE_INTERVAL = 50;

/** Limits of {@link ConnectionLimits}. */
export interface ConnectionLimitsOptions {
  /** Serves HTTPS, with HTTP/2 and HTTP/1.1, if given. */
  readonly tls?: KeyPair | undefined;
  /** Time to send a request, in milliseconds; {@link PATIENCE} unless given. */
  readonly patience?: number | undefined;
  /** Idle timeout, in milliseconds; {@link KEPT_ALIVE} unless given. */
  readonly keptAlive?: number | undefined;
  /** {@link MAX_CONNECTIONS} unless given. */
  readonly maxConnections?: number | undefined;
}

/** Handles a request of any connection. */
export type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;
type Server = http.Server | http2.Http2SecureServer;

/** Listening sockets of a server, with limits for their connections. */
export class ConnectionLimits {
  readonly #options: ConnectionLimitsOptions;
  /** One for each address; the first is Fastify's. */
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #sessions: Http2Sessions;
  #handler: Handler = () => undefined;
  /** Connections refused since the last check. */
  #dropped = 0;

  constructor(options: ConnectionLimitsOptions = {}) {
    const { patience = PATIENCE, keptAlive = KEPT_ALIVE } = options;
    this.#options = options;
    this.#sessions = new Http2Sessions({ patience, keptAlive });
  }

  /** Fastify's `serverFactory`. */
  readonly createServer = (handler: Handler): http.Server => {
    this.#handler = handler;
    return this.#create() as http.Server;
  };

  /**
   * Listens at one more address, with the same handler.
   * @throws the system's error
   */
  async listenAlso(address: { readonly host: string; readonly port: number }): Promise<void> {
    const server = this.#create();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.listen({ ...address }, resolve);
    await promise;
  }

  /** Checks connections until `server` closes. */
  watch(server: FastifyInstance): void {
    const { patience = PATIENCE } = this.#options;
    const checking = setInterval(() => {
      this.#sessions.check(performance.now());
      if (this.#dropped > 0)
        server.log.warn({ connections: this.#dropped }, 'connections were closed at once: too many are open');
      this.#dropped = 0;
    }, patience / CHECKS).unref();
    server.addHook('onClose', async () => clearInterval(checking));
  }

  /**
   * Uses this certificate for new connections.
   * @throws Error if the server listens without TLS, or the pair is invalid; then the previous one stays in use
   */
  secure(pair: KeyPair): void {
    for (const server of this.#servers) {
      if (!('setSecureContext' in server)) throw new TypeError('this server listens without TLS');
      server.setSecureContext(pair);
    }
  }

  /** Closes idle connections until `closing` has resolved, and all others after `graceMs` milliseconds. */
  async end(closing: () => PromiseLike<unknown>, graceMs: number): Promise<void> {
    const idle = setInterval(() => {
      for (const server of this.#servers) if ('closeIdleConnections' in server) server.closeIdleConnections();
    }, IDLE_INTERVAL);
    const grace = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    try {
      await Promise.all([
        closing(),
        ...this.#servers.slice(1).map((server) => new Promise((resolve) => server.close(resolve))),
      ]);
    } finally {
      clearInterval(idle);
      clearTimeout(grace);
    }
  }

  /**
   * Closes the socket if the request stalls. Lasts until the next request: Node.js then resets the timeout to the
   * server's, which has none.
   */
  limitStalling(socket: Socket): void {
    const { tls, patience = PATIENCE } = this.#options;
    if (tls === undefined) socket.setTimeout(2 * patience);
  }

  #create(): Server {
    const { tls, patience = PATIENCE, keptAlive = KEPT_ALIVE, maxConnections = MAX_CONNECTIONS } = this.#options;
    const limits = {
      requestTimeout: patience,
      headersTimeout: patience,
      connectionsCheckingInterval: Math.ceil(patience / CHECKS),
      keepAliveTimeout: keptAlive,
      maxHeaderSize: MAX_HEAD,
      // `checkHosts` does, and answers with a body.
      requireHostHeader: false,
      // TCP keepalive: detects clients that vanished without closing.
      keepAlive: true,
    };
    const server =
      tls === undefined
        ? http.createServer(limits)
        : http2.createSecureServer({
            ...tls,
            ...limits,
            ...HTTP2_LIMITS,
            handshakeTimeout: patience,
            settings: { ...HTTP2_LIMITS.settings, maxHeaderListSize: MAX_HEAD },
            allowHTTP1: true,
          });
    // Twice the request timeout, so that a late request is answered 408 first. Without TLS, see `limitStalling`.
    if (tls !== undefined) server.setTimeout(2 * patience);
    server.maxConnections = maxConnections;
    server.on('drop', () => this.#dropped++);
    // HTTP/2 requests are handled through the compatibility API, as those of HTTP/1.1.
    (server as http.Server).on('request', this.#handler);
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    if (tls !== undefined) server.on('session', (session: http2.ServerHttp2Session) => this.#sessions.watch(session));
    const [first] = this.#servers;
    // Fastify listens for these on the first server only.
    if (first !== undefined)
      (server as http.Server).on('clientError', (error, socket) => first.emit('clientError', error, socket));
    this.#servers.push(server);
    return server;
  }
}
