/** The error that reading a registry throws. */

/**
 * The kind of a {@link RegistryError}:
 * - `not-found`: the registry says that it does not have it (404);
 * - `no-catalog`: the registry does not list its repositories;
 * - `denied`: 401 or 403;
 * - `unavailable`: no connection, a timeout, 408, 425, 429 or 5xx after all attempts, or unreadable login or
 * certificates;
 * - `too-large`: over a limit of `limits.ts` or of the request;
 * - `digest-mismatch`: the bytes do not match the digest;
 * - `malformed`: an answer that does not follow the specification.
 */
export type RegistryErrorCode =
  | 'not-found'
  | 'no-catalog'
  | 'denied'
  | 'unavailable'
  | 'too-large'
  | 'digest-mismatch'
  | 'malformed';

/** The most characters of a message, in which names, URLs and reasons come from the registry. */
const MAX_MESSAGE = 2000;

/**
 * Thrown by every {@link RegistrySource}; its message says what was read, from where, what went wrong and what to do.
 */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: RegistryErrorCode;
  /** The part of the message about files of this machine, for administrators alone. */
  readonly local: string | undefined;

  constructor(
    code: RegistryErrorCode,
    message: string,
    { local, ...options }: ErrorOptions & { readonly local?: string } = {},
  ) {
    super(message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message, options);
    this.code = code;
    this.local = local;
  }
}

/** Says whether `error` means that the registry itself answered that something does not exist. */
export function isNotFound(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'not-found';
}

/** Runs `read`, and adds `where` to the message of a {@link RegistryError} that it throws. */
export function locateErrors<T>(where: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw withLocation(where, error);
  }
}

/** A {@link RegistryError} with `where` added to its message; any other error unchanged. */
export function withLocation(where: string, error: unknown): unknown {
  return error instanceof RegistryError
    ? new RegistryError(error.code, `${where}: ${error.message}`, { cause: error })
    : error;
}
