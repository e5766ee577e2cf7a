/** Bounds what connections may cost, and for how long: those of slow and greedy clients, and of all of them while the server stops. */
import http from 'node:http';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { KeyPair } from './key-pair.ts';
import { HTTP2_LIMITS, Http2Sessions } from './http2-sessions.ts';

/** Whoever takes longer to send a request is cut off; in milliseconds. */
const PATIENCE = 30_000;
/** How often it is looked for those, in a {@link PATIENCE}. */
const CHECKS = 6;
/** Of a request, in bytes: its URL and its headers together. */
const MAX_HEAD = 16 * 1024;
/** At the same time; more are closed. */
const MAX_CONNECTIONS = 4096;
/** How long a connection may be idle, in milliseconds. */
const KEPT_ALIVE = 72_000;
/** How often connections are closed that became idle while it stops, in milliseconds. */
const IDLE_INTERVAL = 50;

export interface ConnectionsOptions {
  /** HTTPS with HTTP/2 and HTTP/1.1 if given. */
  readonly tls?: KeyPair | undefined;
  /** For clients that are slow on purpose, in milliseconds; {@link PATIENCE} unless given. */
  readonly patience?: number | undefined;
  /** In milliseconds; {@link KEPT_ALIVE} unless given. */
  readonly keptAlive?: number | undefined;
  /** {@link MAX_CONNECTIONS} unless given. */
  readonly maxConnections?: number | undefined;
}

export type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;
type Server = http.Server | http2.Http2SecureServer;

export class Connections {
  readonly #options: ConnectionsOptions;
  /** One for each address. */
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #sessions: Http2Sessions;
  #handler: Handler = () => undefined;
  /** Connections that were closed at once since it was last looked. */
  #dropped = 0;

  constructor(options: ConnectionsOptions = {}) {
    const { patience = PATIENCE, keptAlive = KEPT_ALIVE } = options;
    this.#options = options;
    this.#sessions = new Http2Sessions({ patience, keptAlive });
  }

  /** Fastify's `serverFactory`. */
  readonly createServer = (handler: Handler): http.Server => {
    this.#handler = handler;
    return this.#create() as http.Server;
  };

  /** Listens at one more address, for the same handler. @throws the system's error */
  async listenAlso(address: { readonly host: string; readonly port: number }): Promise<void> {
    const server = this.#create();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.listen({ ...address }, resolve);
    await promise;
  }

  /** Watches the connections of `app`, from its begin to its end. */
  watch(server: FastifyInstance): void {
    const { patience = PATIENCE } = this.#options;
    const checking = setInterval(() => {
      this.#sessions.check(performance.now());
      if (this.#dropped > 0) server.log.warn({ connections: this.#dropped }, 'connections were closed at once: there are as many as there may be');
      this.#dropped = 0;
    }, patience / CHECKS).unref();
    server.addHook('onClose', async () => clearInterval(checking));
  }

  /**
   * Shows this certificate on new connections.
   * @throws Error if it listens without TLS, or the pair cannot be used; then all is as it was.
   */
  secure(pair: KeyPair): void {
    for (const server of this.#servers) {
      if (!('setSecureContext' in server)) throw new TypeError('this server listens without TLS');
      server.setSecureContext(pair);
    }
  }

  /** Closes what is idle, or becomes so, while `closing` is under way, and cuts off what is left after `graceMs` milliseconds. */
  async end(closing: () => PromiseLike<unknown>, graceMs: number): Promise<void> {
    const idle = setInterval(() => {
      for (const server of this.#servers) if ('closeIdleConnections' in server) server.closeIdleConnections();
    }, IDLE_INTERVAL);
    const grace = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    try {
      // The first of them is Fastify's.
      await Promise.all([closing(), ...this.#servers.slice(1).map((server) => new Promise((resolve) => server.close(resolve)))]);
    } finally {
      clearInterval(idle);
      clearTimeout(grace);
    }
  }

  /**
   * Has the socket be closed if nothing of what is under way gets on. Only until the next request, since most are answered sooner than
   * a timer is set: Node.js sets a connection's timeout to the server's, which is none, when it begins to wait for one.
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
      // Checked by the app, which answers with a body.
      requireHostHeader: false,
      // Finds out that a client is gone whose connection was never closed.
      keepAlive: true,
    };
    const server =
      tls === undefined
        ? http.createServer(limits)
        : http2.createSecureServer({ ...tls, ...limits, ...HTTP2_LIMITS, handshakeTimeout: patience, settings: { ...HTTP2_LIMITS.settings, maxHeaderListSize: MAX_HEAD }, allowHTTP1: true });
    // Later than for a request that does not come, which is answered before it is cut off. Without TLS, only while it matters.
    if (tls !== undefined) server.setTimeout(2 * patience);
    server.maxConnections = maxConnections;
    server.on('drop', () => this.#dropped++);
    // Routes do not differ by the protocol: a request over HTTP/2 is handled as one over HTTP/1.1.
    (server as http.Server).on('request', this.#handler);
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    if (tls !== undefined) server.on('session', (session: http2.ServerHttp2Session) => this.#sessions.watch(session));
    const [first] = this.#servers;
    // Fastify answers these of the first.
    if (first !== undefined) (server as http.Server).on('clientError', (error, socket) => first.emit('clientError', error, socket));
    this.#servers.push(server);
    return server;
  }
}
