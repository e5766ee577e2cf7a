/** The HTTP server: its routes and plugins, and where it listens. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fastify, { LogController } from 'fastify';
import type { Logger } from 'pino';
import { AcceptEncoding } from './http/accept-encoding.ts';
import type { Figures } from './figures.ts';
import type { KeyPair } from './http/key-pair.ts';
import { allow, supportAllMethods } from './plugins/allow.ts';
import { ConnectionLimits, type ConnectionLimitsOptions } from './http/connection-limits.ts';
import { errors, notFoundAt, sendError } from './plugins/errors.ts';
import { checkHosts } from './plugins/hosts.ts';
import { skipReset } from './http/http2-sessions.ts';
import { shownUrl } from './http/shown-url.ts';
import { limitReaders, Readers, type ReadersOptions } from './plugins/readers.ts';
import { ReadyAnswers } from './plugins/ready-answers.ts';
import { securityHeaders } from './plugins/security-headers.ts';
import { nameRequests, REQUEST_ID, requestIds } from './plugins/request-ids.ts';
import { apiRoutes } from './routes/api.ts';
import { distributionRoutes } from './routes/distribution/distribution.ts';
import { eventRoutes } from './routes/events/events.ts';
import { feedRoutes } from './routes/feeds/feeds.ts';
import { flatpakFileRoutes } from './routes/flatpak/flatpak-files.ts';
import { healthRoutes } from './routes/health.ts';
import { deltaRoutes } from './routes/deltas.ts';
import { iconRoutes } from './routes/icons.ts';
import { indexRoutes } from './routes/indexes.ts';
import { countRequests, metricsRoutes } from './routes/metrics.ts';
import { describeRoutes, openapiRoutes } from './routes/openapi.ts';
import { pageRoutes } from './routes/page.ts';
import { explainRoutes } from './routes/rebuilds/explain.ts';
import { rebuildEventRoutes } from './routes/rebuilds/rebuild-events.ts';
import { reindexRoutes } from './routes/rebuilds/reindex.ts';
import { screenshotRoutes } from './routes/screenshots.ts';
import { signatureRoutes } from './routes/flatpak/signatures.ts';
import { statusRoutes } from './routes/rebuilds/status.ts';
import { routedUrls, type Site, trustOf } from './site.ts';

/** Longest segment of a path, in characters: a digest has 71, a repository's name up to 255. */
const MAX_PARAM_LENGTH = 512;
const MAX_BODY_BYTES = 1024 * 1024;
const DEBUG: ReadonlySet<string> = new Set(['debug', 'trace']);
/** Both addresses that clients may resolve `localhost` to (RFC 6761, section 6.3). */
const LOCALHOST: readonly string[] = ['127.0.0.1', '::1'];
const WITHOUT_IPV6: ReadonlySet<string> = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT']);
/** Advice by error code of `listen`. */
const LISTEN_ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there; end it, or set server.port to another port',
  EADDRNOTAVAIL:
    'this machine does not have that address; set server.host to one of its own, or to 0.0.0.0 or :: for all of them',
  EACCES: 'this user may not use that port; set server.port to 1024 or higher',
  ENOTFOUND: 'that name has no address; set server.host to an address, or to a name that has one',
};

/** Options that a reload does not change. */
export interface ServerOptions extends ConnectionLimitsOptions {
  readonly logger: Logger;
  readonly figures: Figures;
  readonly version: string;
  /** When the process started, in milliseconds since the epoch. */
  readonly startedAt: number;
  readonly readers?: ReadersOptions;
}

/** Where to listen; `localhost` means both of its addresses. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Answers over HTTP with the current site. */
export class Server {
  readonly fastify: FastifyInstance;
  readonly #options: ServerOptions;
  readonly #connections: ConnectionLimits;
  readonly #readers: Readers;
  readonly #readyAnswers: ReadyAnswers;
  #site: Site;
  #trusts: (address: string, hop: number) => boolean = () => false;
  #routedUrl: (url: string) => string = (url) => url;
  #followRebuilds: (site: Site) => void = () => undefined;
  /** Pending requests of the current site. */
  #pending: { requests: number; ended?: () => void } = { requests: 0 };
  #closing = false;

  private constructor(options: ServerOptions, site: Site) {
    this.#options = options;
    this.#site = site;
    this.#connections = new ConnectionLimits(options);
    this.fastify = fastify({
      loggerInstance: options.logger,
      logController: new LogController({ disableRequestLogging: true }),
      serverFactory: (handler) =>
        this.#connections.createServer((request, response) => this.#answer(request, response, handler)),
      trustProxy: (address: string, hop: number) => this.#trusts(address, hop),
      // Requests are not logged, so they need no logger of their own.
      childLoggerFactory: (logger: unknown) => logger as never,
      genReqId: requestIds(() => this.#site.trustProxy !== false),
      bodyLimit: MAX_BODY_BYTES,
      // Clients join the URL, which may end with a slash, and /index/static.
      routerOptions: { maxParamLength: MAX_PARAM_LENGTH, ignoreDuplicateSlashes: true },
      rewriteUrl: ({ url = '/' }) => this.#routedUrl(url),
      // Unknown fields and wrong types are errors; `verbose` lets messages say what is expected.
      ajv: { customOptions: { removeAdditional: false, coerceTypes: false, verbose: true } },
      // Errors of URLs that cannot be decoded.
      frameworkErrors: (error: FastifyError, request: unknown, reply: unknown) => {
        const asked = request as FastifyRequest;
        // Fastify's messages hold the path.
        const showable = shownUrl(asked.originalUrl) === asked.originalUrl;
        sendError(showable ? error : notFoundAt(asked), asked, reply as FastifyReply);
      },
    }) as unknown as FastifyInstance;
    this.#readers = new Readers(options.readers);
    this.#readyAnswers = new ReadyAnswers(options.figures.requests, this.#readers);
  }

  /** Creates a server that answers with `site` once it listens. */
  static async create(options: ServerOptions, site: Site): Promise<Server> {
    const server = new Server(options, site);
    await server.#addRoutes();
    await server.fastify.ready();
    await server.use(site);
    return server;
  }

  /** Replaces the site, for open connections too. Resolves when all requests to the previous one have ended. */
  async use(site: Site): Promise<void> {
    const before = this.#pending;
    this.#pending = { requests: 0 };
    this.#site = site;
    this.#trusts = trustOf(site);
    this.#routedUrl = routedUrls(site);
    this.#followRebuilds(site);
    this.#readyAnswers.clear();
    for (const index of site.indexes.values()) index.whenReplaced(() => this.#readyAnswers.clear());
    if (before.requests > 0) await new Promise<void>((resolve) => (before.ended = resolve));
  }

  /**
   * Listens, and returns the port.
   * @throws Error with the system's `code`; its message says what to do where that is known
   */
  async listen({ host, port }: Address): Promise<number> {
    const [first = host, ...others] = host === 'localhost' ? LOCALHOST : [host];
    try {
      await this.fastify.listen({ host: first, port, listenTextResolver: (address) => `listening at ${address}` });
    } catch (cause) {
      const { code = '' } = cause as NodeJS.ErrnoException;
      const advice = LISTEN_ADVICE[code];
      if (advice === undefined) throw cause;
      throw Object.assign(new Error(`cannot listen at ${host}, port ${port}: ${advice}`, { cause }), { code });
    }
    const { port: chosen } = this.fastify.server.address() as AddressInfo;
    for (const other of others) {
      await this.#connections.listenAlso({ host: other, port: chosen }).catch((error: NodeJS.ErrnoException) => {
        if (!WITHOUT_IPV6.has(error.code ?? '')) throw error;
      });
    }
    return chosen;
  }

  /**
   * Uses this certificate for new connections.
   * @throws Error if the server listens without TLS, or the pair is invalid; then the previous one stays in use
   */
  secure(pair: KeyPair): void {
    this.#connections.secure(pair);
  }

  /**
   * Shuts down: takes no new connections, and waits up to `graceMs` milliseconds for pending requests before it cuts
   * them off.
   */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    await this.#connections.end(() => this.fastify.close(), graceMs);
  }

  #answer(
    request: IncomingMessage,
    response: ServerResponse,
    route: (request: IncomingMessage, response: ServerResponse) => void,
  ): void {
    if (DEBUG.has(this.fastify.log.level)) logAnswer(this.fastify.log, request, response);
    // Not during shutdown: Fastify then closes the connection with each answer.
    if (!this.#closing && this.#readyAnswers.answer(request, response)) {
      // Not of the socket: a pipelined response does not have it yet.
      if (response.writableLength > 0) this.#connections.limitStalling(request.socket);
      return;
    }
    this.#connections.limitStalling(request.socket);
    const pending = this.#pending;
    pending.requests++;
    response.once('close', () => {
      pending.requests--;
      if (pending.requests === 0) pending.ended?.();
    });
    route(request, response);
  }

  async #addRoutes(): Promise<void> {
    const { fastify: server } = this;
    const { figures, version, startedAt } = this.#options;
    const site = (): Site => this.#site;
    const tls = this.#options.tls !== undefined;
    const readyAnswers = this.#readyAnswers;
    const acceptEncoding = new AcceptEncoding();

    this.#connections.watch(server);
    supportAllMethods(server);
    skipReset(server);
    checkHosts(server);
    errors(server, this.#options.figures);
    const allowNoOther = allow(server);
    // Ready answers are kept before `limitReaders` wraps their bodies.
    readyAnswers.register(server);
    limitReaders(server, this.#readers);
    countRequests(server, figures.requests);
    await describeRoutes(server, version);
    indexRoutes(server, { site, acceptEncoding, readyAnswers });
    iconRoutes(server, { site, readyAnswers });
    screenshotRoutes(server, site);
    deltaRoutes(server, site);
    signatureRoutes(server, site);
    await server.register(async (scope) => {
      await securityHeaders(scope, tls);
      nameRequests(scope);
      openapiRoutes(scope, site);
      metricsRoutes(scope, { site, version, figures });
      await scope.register(async (own) => reindexRoutes(own, site));
      await scope.register(async (own) => explainRoutes(own, site));
      await scope.register(async (own) => eventRoutes(own, site, figures));
      await scope.register(async (own) => statusRoutes(own, { site, version, startedAt, figures }));
    });
    await server.register(async (scope) => distributionRoutes(scope, site));
    await server.register(async (scope) => {
      await securityHeaders(scope, tls);
      nameRequests(scope);
      healthRoutes(scope, site);
      const followEvents = rebuildEventRoutes(scope, site);
      this.#followRebuilds = ({ rebuilds }) => followEvents(rebuilds);
      apiRoutes(scope, { site, acceptEncoding });
      flatpakFileRoutes(scope, site);
      feedRoutes(scope, site);
    });
    await server.register(async (scope) => pageRoutes(scope, site, tls));
    allowNoOther();
  }
}

function logAnswer(
  log: FastifyInstance['log'],
  { method, url = '', httpVersion, socket: { remoteAddress } }: IncomingMessage,
  response: ServerResponse,
): void {
  const started = performance.now();
  response.once('close', () => {
    const { statusCode: status, writableFinished } = response;
    log.debug(
      {
        request: response.getHeader(REQUEST_ID),
        method,
        url: shownUrl(url),
        httpVersion,
        address: remoteAddress,
        status,
        seconds: (performance.now() - started) / 1000,
      },
      writableFinished ? 'answered' : 'connection closed before the answer was sent',
    );
  });
}
