/** The Fastify app: everything that is answered over HTTP. */
import type { FastifyInstance } from 'fastify';
import fastify, { LogController } from 'fastify';
import type { Logger } from 'pino';
import { AcceptEncoding } from './accept-encoding.ts';
import type { AnswerQuery } from './answers.ts';
import { Answers } from './answers.ts';
import { allow } from './plugins/allow.ts';
import { errors } from './plugins/errors.ts';
import type { PublishedIndex } from './published-index.ts';
import type { PullSource } from './routes/distribution.ts';
import { distributionRoutes } from './routes/distribution.ts';
import type { EventCounts, EventRoutesOptions } from './routes/events.ts';
import { eventRoutes } from './routes/events.ts';
import { healthRoutes } from './routes/health.ts';
import { iconPrefixes, iconRoutes } from './routes/icons.ts';
import { indexRoutes } from './routes/indexes.ts';
import type { ReindexRoutesOptions } from './routes/reindex.ts';
import { reindexRoutes } from './routes/reindex.ts';
import type { StatusRoutesOptions } from './routes/status.ts';
import { statusRoutes } from './routes/status.ts';

/** Longest part of a path between two slashes, in characters: a digest is 71, a repository's name up to 255. */
const MAX_PARAM_LENGTH = 512;
const MAX_BODY_BYTES = 1024 * 1024;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_WAITING_ANSWERS = 64;
/** Whoever sends a request more slowly than this, in milliseconds, is cut off. */
const REQUEST_TIMEOUT = 30_000;

export interface ServerOptions {
  readonly logger: Logger;
  readonly trustProxy: boolean | string | readonly string[] | number;
  /** PEM; HTTPS with HTTP/2 and HTTP/1.1 if given. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  readonly indexes: ReadonlyMap<string, PublishedIndex>;
  readonly defaultIndex: string;
  readonly answer: AnswerQuery;
  readonly iconsDir: string;
  readonly iconsUri: string;
  /** What `/v2/` serves; nothing if there are none. */
  readonly pullSources: readonly PullSource[];
  readonly reindex: ReindexRoutesOptions;
  readonly events: Omit<EventRoutesOptions, 'counts'>;
  readonly status: Omit<StatusRoutesOptions, 'indexes' | 'events'>;
}

/** Builds the app; it does not listen yet. */
export async function createServer(options: ServerOptions): Promise<FastifyInstance> {
  const { indexes, defaultIndex, pullSources, tls } = options;
  const common = {
    loggerInstance: options.logger,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: options.trustProxy as boolean,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    // A misspelt field is an error, not passed over.
    ajv: { customOptions: { removeAdditional: false } },
  } as const;
  // Routes do not differ by the protocol: an app over HTTP/2 is handled as one over HTTP/1.1.
  const app = tls === undefined ? (fastify(common) as unknown as FastifyInstance) : (fastify({ ...common, http2: true, https: { ...tls, allowHTTP1: true } }) as unknown as FastifyInstance);
  errors(app);
  const allowNoOther = allow(app);

  healthRoutes(app, indexes);
  indexRoutes(app, {
    indexes,
    defaultIndex,
    answers: new Answers({ answer: options.answer, maxBytes: MAX_ANSWER_BYTES, maxWaiting: MAX_WAITING_ANSWERS }),
    acceptEncoding: new AcceptEncoding(),
  });
  iconRoutes(app, { iconsDir: options.iconsDir, prefixes: iconPrefixes(options.iconsUri, indexes.keys()) });
  await app.register(async (scope) => reindexRoutes(scope, options.reindex));
  const events: EventCounts = { triggered: 0, ignored: 0, malformed: 0 };
  await app.register(async (scope) => eventRoutes(scope, { ...options.events, counts: events }));
  statusRoutes(app, { ...options.status, indexes, events });
  if (pullSources.length > 0) {
    await app.register(async (scope) => {
      distributionRoutes(scope, pullSources);
    });
  }

  allowNoOther();
  return app;
}
