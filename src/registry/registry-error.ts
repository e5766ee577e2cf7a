/** The one error that reading a registry throws. */

/**
 * - `not-found`: the registry says that it does not have it (404);
 * - `no-catalog`: the registry does not list its repositories;
 * - `denied`: 401 or 403;
 * - `unavailable`: no connection, a time-out, 408, 425, 429 or 5xx after all attempts, or no login or certificates that can be read;
 * - `too-large`: over the limit for its kind;
 * - `digest-mismatch`: the bytes are not what the digest names;
 * - `malformed`: an answer of another shape than the specification's.
 */
export type RegistryErrorCode =
  | 'not-found'
  | 'no-catalog'
  | 'denied'
  | 'unavailable'
  | 'too-large'
  | 'digest-mismatch'
  | 'malformed';

/** A registry has a say in messages: names, URLs and reasons are its own. */
const MAX_MESSAGE = 2000;

/** Thrown by every {@link RegistrySource}; its message says what was read, from where, what went wrong and what to do. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: RegistryErrorCode;

  constructor(code: RegistryErrorCode, message: string, options?: ErrorOptions) {
    super(message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message, options);
    this.code = code;
  }
}

/** Says whether `error` is the registry's own word that something is not there. */
export function isNotFound(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'not-found';
}

/** Runs `read`; a {@link RegistryError} that it throws then also says `where`. */
export function located<T>(where: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw withPlace(where, error);
  }
}

/** `error` itself, or a {@link RegistryError} that also says `where`. */
export function withPlace(where: string, error: unknown): unknown {
  return error instanceof RegistryError ? new RegistryError(error.code, `${where}: ${error.message}`, { cause: error }) : error;
}
