/** The Fastify app: everything that is answered over HTTP. */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fastify, { LogController } from 'fastify';
import type { Logger } from 'pino';
import { AcceptEncoding } from './accept-encoding.ts';
import { withoutBasePath } from './base-path.ts';
import { allow, supportAllMethods } from './plugins/allow.ts';
import { errors, sendError } from './plugins/errors.ts';
import { checkHosts } from './plugins/hosts.ts';
import { skipReset } from './plugins/http2-sessions.ts';
import { securityHeaders } from './plugins/security-headers.ts';
import type { Figures } from './figures.ts';
import type { Publication } from './public-index.ts';
import type { PublishedIndex } from './published-index.ts';
import type { Questions } from './questions.ts';
import { boundReaders, Readers, type ReadersOptions } from './plugins/readers.ts';
import { ReadyAnswers } from './plugins/ready-answers.ts';
import { nameRequests, requestIds } from './request-ids.ts';
import { apiRoutes } from './routes/api.ts';
import type { PullSource } from './routes/distribution.ts';
import { distributionRoutes } from './routes/distribution.ts';
import type { EventRoutesOptions } from './routes/events.ts';
import { eventRoutes } from './routes/events.ts';
import { flatpakFileRoutes } from './routes/flatpak-files.ts';
import { healthRoutes } from './routes/health.ts';
import { iconPrefixes, iconRoutes, type IconRoutesOptions } from './routes/icons.ts';
import { indexRoutes } from './routes/indexes.ts';
import { countRequests, metricsRoutes } from './routes/metrics.ts';
import { describeRoutes, openapiRoutes } from './routes/openapi.ts';
import { pageRoutes } from './routes/page.ts';
import type { RegistryProxy } from './routes/registry-proxy.ts';
import type { RebuildEvents } from './routes/rebuild-events.ts';
import { rebuildEventRoutes } from './routes/rebuild-events.ts';
import type { ReindexRoutesOptions } from './routes/reindex.ts';
import { reindexRoutes } from './routes/reindex.ts';
import { signatureRoutes } from './routes/signatures.ts';
import type { StatusRoutesOptions } from './routes/status.ts';
import { statusRoutes } from './routes/status.ts';

/** Longest part of a path between two slashes, in characters: a digest is 71, a repository's name up to 255. */
const MAX_PARAM_LENGTH = 512;
const MAX_BODY_BYTES = 1024 * 1024;

export interface ServerOptions {
  readonly logger: Logger;
  readonly trustProxy: boolean | string | readonly string[] | number;
  readonly indexes: ReadonlyMap<string, PublishedIndex>;
  readonly defaultIndex: string;
  /** Answers what is not ready. */
  readonly questions: Questions;
  /** The PNG of an icon; `undefined` if there is none. */
  readonly readIcon: IconRoutesOptions['readIcon'];
  readonly iconsUri: string;
  /** What `/v2/` serves; nothing if there are none, and no proxy. */
  readonly pullSources: readonly PullSource[];
  /** A registry that is served from here where none of the sources has what is asked for. */
  readonly registryProxy?: RegistryProxy | undefined;
  /** Folders of signatures, by the index whose images they sign. */
  readonly signatures?: Readonly<Record<string, string>>;
  /** The rebuilds as they happen, for the page and for figures. Without, neither is told of them. */
  readonly rebuildEvents?: RebuildEvents;
  /** The path of the public URL, without a slash at its end. Requests come with it or without. */
  readonly basePath?: string;
  /** It is spoken to in HTTPS. */
  readonly tls?: boolean;
  /** What people are shown: the page, and what stands behind it. Without, none of it is served. */
  readonly publication?: Publication;
  readonly readers?: ReadersOptions;
  readonly reindex: ReindexRoutesOptions;
  readonly events: Omit<EventRoutesOptions, 'counts'>;
  readonly status: Omit<StatusRoutesOptions, 'indexes' | 'events'>;
  /** Of the process, which may have had other servers before. */
  readonly figures: Figures;
}

/** Builds the app, ready to answer; it is a `Front` that listens. */
export async function createServer(options: ServerOptions): Promise<FastifyInstance> {
  const { indexes, defaultIndex, pullSources, registryProxy, rebuildEvents, trustProxy, basePath = '', tls = false } = options;
  const app = fastify({
    loggerInstance: options.logger,
    logController: new LogController({ disableRequestLogging: true }),
    // Fastify itself believes nobody where it is given a number of hops.
    trustProxy: (typeof trustProxy === 'number' ? (_address: string, hop: number): boolean => hop < trustProxy : trustProxy) as boolean,
    // Requests are not logged, so they need no logger of their own.
    childLoggerFactory: (logger: unknown) => logger as never,
    genReqId: requestIds(trustProxy !== false),
    bodyLimit: MAX_BODY_BYTES,
    // Readers of indexes join URL/ and /index/static.
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH, ignoreDuplicateSlashes: true },
    rewriteUrl: ({ url = '/' }) => withoutBasePath(url, basePath),
    // A misspelt field is an error, not passed over, and what is no string is not made one; errors tell what would be right.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, verbose: true } },
    // Of a URL that no route can be found for.
    frameworkErrors: (error: FastifyError, request: unknown, reply: unknown) => {
      sendError(error, request as FastifyRequest, reply as FastifyReply);
    },
  }) as unknown as FastifyInstance;
  app.decorate('basePath', basePath);
  supportAllMethods(app);
  skipReset(app);
  checkHosts(app);
  errors(app);
  const allowNoOther = allow(app);

  const { figures } = options;
  const readers = new Readers(options.readers);
  const acceptEncoding = new AcceptEncoding();
  const readyAnswers = new ReadyAnswers(app, figures.requests, readers);
  // What is kept ready is kept as it is, so that comes before.
  boundReaders(app, readers);
  for (const index of indexes.values()) index.whenReplaced(() => readyAnswers.clear());
  countRequests(app, figures.requests);
  await describeRoutes(app, options.status.version);
  indexRoutes(app, {
    indexes,
    defaultIndex,
    questions: options.questions,
    acceptEncoding,
    readyAnswers,
  });
  iconRoutes(app, { readIcon: options.readIcon, prefixes: iconPrefixes(options.iconsUri, indexes.keys(), basePath), readyAnswers });
  signatureRoutes(app, options.signatures ?? {});
  await app.register(async (scope) => {
    await securityHeaders(scope, tls);
    nameRequests(scope);
    openapiRoutes(scope);
    const { reindex, events, status } = options;
    if (rebuildEvents !== undefined) {
      figures.follow(rebuildEvents, new Set([...indexes.keys()].flatMap((name) => status.registryOf(name) ?? [])));
      metricsRoutes(scope, { version: status.version, figures, indexes, bus: status.bus });
    }
    await scope.register(async (own) => reindexRoutes(own, reindex));
    await scope.register(async (own) => eventRoutes(own, { ...events, counts: figures.events }));
    statusRoutes(scope, { ...status, indexes, events: figures.events });
  });
  if (pullSources.length > 0 || registryProxy !== undefined) {
    await app.register(async (scope) => {
      distributionRoutes(scope, pullSources, registryProxy);
    });
  }

  const { publication, iconsUri } = options;
  await app.register(async (scope) => {
    await securityHeaders(scope, tls);
    nameRequests(scope);
    healthRoutes(scope, indexes);
    if (rebuildEvents !== undefined) rebuildEventRoutes(scope, rebuildEvents);
    if (publication === undefined) return;
    apiRoutes(scope, { indexes, defaultIndex, acceptEncoding });
    flatpakFileRoutes(scope, { indexes, publication });
  });
  if (publication !== undefined) await app.register(async (scope) => pageRoutes(scope, { indexes, defaultIndex, publication, iconsUri, tls }));

  allowNoOther();
  await app.ready();
  return app;
}
