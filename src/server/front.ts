/** What listens: it has the connections, whatever app answers the requests on them. */
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { HTTP2_LIMITS, Http2Sessions } from './plugins/http2-sessions.ts';
import type { KeyPair } from './key-pair.ts';
import { REQUEST_ID } from './request-ids.ts';

/** Whoever takes longer to send a request is cut off; in milliseconds. */
const PATIENCE = 30_000;
/** How often it is looked for those, in a {@link PATIENCE}. */
const CHECKS = 6;
const DEBUG: ReadonlySet<string> = new Set(['debug', 'trace']);
/** All that clients may take it for (RFC 6761, section 6.3). */
const LOCALHOST: readonly string[] = ['127.0.0.1', '::1'];
const WITHOUT_IPV6: ReadonlySet<string> = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT']);
/** What to do where the system does not let it listen. */
const LISTEN_ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there; end it, or set server.port to another port',
  EADDRNOTAVAIL: 'this machine does not have that address; set server.host to one of its own, or to 0.0.0.0 or :: for all of them',
  EACCES: 'this user may not; set server.port to a port from 1024 on',
  ENOTFOUND: 'that name has no address; set server.host to an address, or to a name that has one',
};
/** Of a request, in bytes: its URL and its headers together. */
const MAX_HEAD = 16 * 1024;
/** At the same time; more are closed. */
const MAX_CONNECTIONS = 4096;
/** How long a connection may be idle, in milliseconds. */
const KEPT_ALIVE = 72_000;
/** How often connections are closed that became idle while it stops, in milliseconds. */
const IDLE_INTERVAL = 50;

export interface FrontOptions {
  /** HTTPS with HTTP/2 and HTTP/1.1 if given. */
  readonly tls?: KeyPair | undefined;
  /** For clients that are slow on purpose, in milliseconds; {@link PATIENCE} unless given. */
  readonly patience?: number | undefined;
  /** In milliseconds; {@link KEPT_ALIVE} unless given. */
  readonly keptAlive?: number | undefined;
  /** {@link MAX_CONNECTIONS} unless given. */
  readonly maxConnections?: number | undefined;
}

/** Where to listen; `localhost` is both of its addresses. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** An app, and the requests that it has not answered to their end. */
interface Answering {
  readonly app: FastifyInstance;
  /** Each answer is logged. */
  readonly debug: boolean;
  requests: number;
  /** Called when there are none, once it is followed by another app. */
  ended?: () => void;
}

type Server = http.Server | http2.Http2SecureServer;

export class Front {
  readonly server: Server;
  readonly #options: FrontOptions;
  /** One for each address. */
  readonly #servers: Server[];
  readonly #sockets = new Set<Socket>();
  readonly #sessions: Http2Sessions;
  readonly #checking: NodeJS.Timeout;
  #answering: Answering;
  /** Connections that were closed at once since it was last looked. */
  #dropped = 0;
  #closing = false;

  /** `app` is ready, and answers until {@link use}. */
  constructor(app: FastifyInstance, options: FrontOptions = {}) {
    const { patience = PATIENCE, keptAlive = KEPT_ALIVE } = options;
    this.#options = options;
    this.#answering = answeringOf(app);
    this.#sessions = new Http2Sessions({ patience, keptAlive });
    this.#checking = setInterval(() => this.#check(), patience / CHECKS).unref();
    this.server = this.#createServer();
    this.#servers = [this.server];
  }

  /**
   * Listens, and returns the port.
   * @throws Error with the system's `code`, that says what to do where that is known.
   */
  async listen(address: Address): Promise<number> {
    const [first = address.host, ...others] = address.host === 'localhost' ? LOCALHOST : [address.host];
    const port = await listenAt(this.server, { ...address, host: first });
    for (const host of others) {
      const server = this.#createServer();
      this.#servers.push(server);
      try {
        await listenAt(server, { ...address, host, port });
      } catch (error) {
        if (!WITHOUT_IPV6.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
      }
    }
    return port;
  }

  /**
   * Has `app` answer from now on, on the connections that there are as well. Resolves when those requests have ended that the app
   * before has got.
   */
  async use(app: FastifyInstance): Promise<void> {
    const before = this.#answering;
    this.#answering = answeringOf(app);
    if (before.requests > 0) await new Promise<void>((resolve) => (before.ended = resolve));
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

  /** Stops: takes no new connections, and lets the requests under way end; those that have not after `graceMs` milliseconds are cut off. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    const servers = this.#servers.filter(({ listening }) => listening);
    const idle = setInterval(() => {
      for (const server of servers) if ('closeIdleConnections' in server) server.closeIdleConnections();
    }, IDLE_INTERVAL);
    const grace = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    try {
      const ended = servers.map((server) => once(server, 'close'));
      const closing = this.#answering.app.close();
      for (const server of servers) server.close();
      await Promise.all([closing, ...ended]);
    } finally {
      clearInterval(idle);
      clearTimeout(grace);
      clearInterval(this.#checking);
    }
  }

  #createServer(): Server {
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
    (server as http.Server).on('request', (request, response) => this.#answer(request, response));
    (server as http.Server).on('clientError', (error, socket) => this.#answering.app.server.emit('clientError', error, socket));
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    if (tls !== undefined) server.on('session', (session: http2.ServerHttp2Session) => this.#sessions.watch(session));
    return server;
  }

  #check(): void {
    this.#sessions.check(performance.now());
    if (this.#dropped > 0) this.#answering.app.log.warn({ connections: this.#dropped }, 'connections were closed at once: there are as many as there may be');
    this.#dropped = 0;
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const answering = this.#answering;
    if (answering.debug) logAnswer(answering.app.log, request, response);
    // Not while it closes: then each answer has to end its connection.
    if (!this.#closing && answering.app.answerReady?.(request, response)) {
      // Of the response: what waits for the answer before it is not with the socket yet.
      if (response.writableLength > 0) this.#limitStall(request.socket);
      return;
    }
    this.#limitStall(request.socket);
    answering.requests++;
    response.once('close', () => {
      answering.requests--;
      if (answering.requests === 0) answering.ended?.();
    });
    answering.app.routing(request, response);
  }

  /**
   * Has the socket be closed if nothing of what is under way gets on. Only until the next request, since most are answered sooner than
   * a timer is set: Node.js sets a connection's timeout to the server's, which is none, when it begins to wait for one.
   */
  #limitStall(socket: Socket): void {
    const { tls, patience = PATIENCE } = this.#options;
    if (tls === undefined) socket.setTimeout(2 * patience);
  }
}

function answeringOf(app: FastifyInstance): Answering {
  return { app, debug: DEBUG.has(app.log.level), requests: 0 };
}

function logAnswer(log: FastifyInstance['log'], { method, url, httpVersion, socket: { remoteAddress } }: http.IncomingMessage, response: http.ServerResponse): void {
  const started = performance.now();
  response.once('close', () => {
    const { statusCode: status, writableFinished } = response;
    log.debug({ request: response.getHeader(REQUEST_ID), method, url, httpVersion, address: remoteAddress, status, seconds: (performance.now() - started) / 1000 }, writableFinished ? 'answered' : 'not answered to the end');
  });
}

async function listenAt(server: Server, address: Address): Promise<number> {
  server.listen({ ...address });
  try {
    await once(server, 'listening');
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    const advice = LISTEN_ADVICE[code];
    if (advice === undefined) throw cause;
    throw Object.assign(new Error(`cannot listen at ${address.host}, port ${address.port}: ${advice}`, { cause }), { code });
  }
  return (server.address() as AddressInfo).port;
}
