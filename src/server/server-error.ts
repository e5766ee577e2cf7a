/** Errors that routes answer with. Each message says what is wrong and what to do. */
import createError from '@fastify/error';

/** Nothing is served at this path. */
export const NotFound = createError('REGINDEXER_NOT_FOUND', '%s', 404);
/** The index is configured, but has not been built yet. */
export const NotBuiltYet = createError(
  'REGINDEXER_NOT_BUILT_YET',
  'The index "%s" is still being built for the first time; ask again in a moment, or see /status.',
  503,
);
/** A stored part of the index is damaged. */
export const PartUnreadable = createError(
  'REGINDEXER_PART_UNREADABLE',
  'A part of the index cannot be read and is being rebuilt; ask again in a moment.',
  503,
);
/** The database that replicas share cannot be reached, and what it is asked for is not in the cache. */
export const DatabaseUnavailable = createError(
  'REGINDEXER_DATABASE_UNAVAILABLE',
  'The database of this server cannot be reached now; ask again in a moment.',
  503,
);
/** The queue of pending questions is full. */
export const TooBusy = createError(
  'REGINDEXER_TOO_BUSY',
  'Too many different queries wait to be answered; ask again in a moment.',
  503,
);
/** Unsent answers use all the memory they may. */
export const TooManyUnsent = createError(
  'REGINDEXER_TOO_MANY_UNSENT',
  'Too many answers wait for clients that read slowly; ask again in a moment.',
  503,
);
/** The limit of clients that follow the rebuilds is reached. */
export const TooManyStreams = createError(
  'REGINDEXER_TOO_MANY_STREAMS',
  'Too many clients follow the rebuilds; ask /status instead, or again in a moment.',
  503,
);
/** The range that is asked for is not in the content. */
export const RangeNotSatisfiable = createError('REGINDEXER_RANGE_NOT_SATISFIABLE', '%s', 416);
/** The path exists, but not for this method. */
export const MethodNotAllowed = createError('REGINDEXER_METHOD_NOT_ALLOWED', '%s is not allowed here; use %s.', 405);
/** The route needs a token, but none is configured. */
export const NoTokenConfigured = createError(
  'REGINDEXER_NO_TOKEN',
  'This route is switched off: set %s in the configuration to use it.',
  403,
);
/** The token of the request is wrong. */
export const WrongToken = createError(
  'REGINDEXER_WRONG_TOKEN',
  'The token is wrong: %s in the configuration has another one.',
  401,
);
/** The request has no token. */
export const Unauthorized = createError(
  'REGINDEXER_UNAUTHORIZED',
  'This route needs a token: send "Authorization: Bearer TOKEN" with the value of %s in the configuration.',
  401,
);
/** The body of the request is signed with another secret. */
export const WrongSignature = createError(
  'REGINDEXER_WRONG_SIGNATURE',
  'The signature is wrong: the secret of the sender must be the value of %s in the configuration.',
  401,
);
/** The client asks too often. */
export const TooManyRequests = createError(
  'REGINDEXER_TOO_MANY_REQUESTS',
  'At most %s of these requests a minute from one address; ask again in %s seconds.',
  429,
);
/** The rebuild that a client waits for failed. */
export const RebuildFailed = createError(
  'REGINDEXER_REBUILD_FAILED',
  'The rebuild failed and will be retried: %s',
  502,
);
/** The registry behind this server gave no usable answer. */
export const RegistryUnavailable = createError(
  'REGINDEXER_REGISTRY_UNAVAILABLE',
  'The registry behind this server cannot be read now; ask again in a moment. The log of this server says why.',
  502,
);
/** The registry behind this server did not answer in time. */
export const RegistryTooSlow = createError(
  'REGINDEXER_REGISTRY_TOO_SLOW',
  'The registry behind this server did not answer within %s s; ask again in a moment, or give it more time with registries.URL.timeout.',
  504,
);
/** The host of the request is invalid. */
export const InvalidHost = createError('REGINDEXER_INVALID_HOST', 'The host of this request is not valid: %s.', 400);
/** The client closed the request early. */
export const RequestAborted = createError('REGINDEXER_REQUEST_ABORTED', 'The request ended before its body did.', 400);
/** Content that the service should have cannot be read. */
export const NotReadable = createError(
  'REGINDEXER_NOT_READABLE',
  'This content cannot be read; the log of this server says why.',
  502,
);
/** The reference of a repository or tag is invalid. */
export const BadReference = createError(
  'REGINDEXER_BAD_REFERENCE',
  '%s is not the name of a repository, expected REPOSITORY or REPOSITORY:TAG, such as apps/hello:latest.',
  400,
);
/** The body of the request is invalid. */
export const BadBody = createError('REGINDEXER_BAD_BODY', '%s', 400);
/** The body of the request is not JSON. */
export const UnsupportedMediaType = createError(
  'REGINDEXER_UNSUPPORTED_MEDIA_TYPE',
  'The body must be JSON: send "Content-Type: application/json".',
  415,
);

/** Says whether `error` is one of the above, whose messages clients may see. */
export function isExpected(error: Error): boolean {
  return 'code' in error && typeof error.code === 'string' && error.code.startsWith('REGINDEXER_');
}

/** Returns what `read` does, retried once after {@link PartUnreadable}: by then, a newer publication may be shown. */
export async function retryUnreadable<T>(read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'REGINDEXER_PART_UNREADABLE')) throw error;
    return read();
  }
}

/** An error of the Distribution API, with its code in `reason` (distribution-spec, "Error Codes"). */
export class DistributionError extends Error {
  override readonly name = 'DistributionError';
  readonly statusCode: number;
  readonly reason: string;

  constructor(statusCode: number, reason: string, message: string) {
    super(message);
    this.statusCode = statusCode;
    this.reason = reason;
  }
}
