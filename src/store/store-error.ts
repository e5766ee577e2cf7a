/** The store's error: one class, with a code. */

/**
 * - `corrupt`: the file is damaged and has to be replaced by a new one;
 * - `full`: the disk is full;
 * - `read-only`: the file or its folder is not writable;
 * - `closed`: the file was closed, perhaps to be replaced;
 * - `deposed`: another replica may write now;
 * - `refused`: the database answers, and does not accept what the configuration says of it;
 * - `unavailable`: any other error of the system, such as a missing folder, a faulty disk or a file that another
 * program has locked.
 */
export type StoreErrorCode = 'corrupt' | 'full' | 'read-only' | 'closed' | 'deposed' | 'refused' | 'unavailable';

/** Thrown by the store and the state lock; the message says which file, what is wrong and what to do. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  readonly file: string;

  private constructor(code: StoreErrorCode, file: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.file = file;
  }

  /**
   * Creates the error for `file`.
   * @param reason details that `code` does not say
   */
  static of(code: StoreErrorCode, file: string, reason = '', options?: ErrorOptions): StoreError {
    return new StoreError(code, file, MESSAGES[code](file, reason), options);
  }

  /** Creates the error for `file` with a message of its own. */
  static saying(code: StoreErrorCode, file: string, message: string, options?: ErrorOptions): StoreError {
    return new StoreError(code, file, message, options);
  }

  /** Converts SQLite's error about `file` to a StoreError; returns any other error as it is. */
  static fromSqlite(cause: unknown, file: string): unknown {
    if (!(cause instanceof Error && 'errcode' in cause && typeof cause.errcode === 'number')) return cause;
    // The low byte is the primary result code, the rest extends it.
    const code = cause.errcode === SQLITE_IOERR_SHMSIZE ? 'full' : SQLITE_CODES[cause.errcode & 0xff];
    return code === undefined ? cause : StoreError.of(code, file, cause.message, { cause });
  }

  /** Converts an error of `node:fs` about `file` to a StoreError; returns any other error as it is. */
  static fromSystem(cause: unknown, file: string): unknown {
    if (!(cause instanceof Error && 'syscall' in cause && 'code' in cause)) return cause;
    const code = SYSTEM_CODES[String(cause.code)] ?? 'unavailable';
    return StoreError.of(code, file, cause.message, { cause });
  }
}

/** SQLite's primary result codes (https://www.sqlite.org/rescode.html) that are about the file, not the program. */
const SQLITE_CODES: Readonly<Record<number, StoreErrorCode>> = {
  3: 'read-only', // SQLITE_PERM
  5: 'unavailable', // SQLITE_BUSY
  6: 'unavailable', // SQLITE_LOCKED
  8: 'read-only', // SQLITE_READONLY
  10: 'unavailable', // SQLITE_IOERR
  11: 'corrupt', // SQLITE_CORRUPT
  13: 'full', // SQLITE_FULL
  14: 'unavailable', // SQLITE_CANTOPEN
  15: 'unavailable', // SQLITE_PROTOCOL
  22: 'unavailable', // SQLITE_NOLFS
  26: 'corrupt', // SQLITE_NOTADB
};

/** The shared memory file could not grow; the only known reason is a full disk. */
const SQLITE_IOERR_SHMSIZE = 4874;

const SYSTEM_CODES: Readonly<Record<string, StoreErrorCode>> = {
  EACCES: 'read-only',
  EPERM: 'read-only',
  EROFS: 'read-only',
  ENOSPC: 'full',
  EDQUOT: 'full',
};

const MESSAGES: Readonly<Record<StoreErrorCode, (file: string, reason: string) => string>> = {
  corrupt: (file, reason) => `${file} is damaged (${reason}): it has to be replaced by a new one`,
  full: (file) => `${file} could not be written, the disk is full: free some space; its content before that is kept`,
  'read-only': (file, reason) =>
    `${file} is not writable (${reason}): make it and its folder writable for this user, or set state_dir to another folder`,
  closed: (file) => `${file} was closed`,
  deposed: (file) => `another replica writes ${file} now`,
  refused: (file, reason) => `${file} does not accept this configuration (${reason})`,
  unavailable: (file, reason) =>
    `${file} cannot be used (${reason}): check that its folder exists, that the disk has no errors, and that no other program has locked it`,
};

/** Codes of a store of which nothing can be read now, and in which nothing is damaged. */
const AWAY: ReadonlySet<StoreErrorCode> = new Set(['full', 'read-only', 'refused', 'unavailable']);

/** Says whether the store cannot be read now, so that what was read of it before has to do. */
export function isAway(error: unknown): error is StoreError {
  return error instanceof StoreError && AWAY.has(error.code);
}

/** Says whether an administrator has to change something before the store can be used. */
export function isRefused(error: unknown): boolean {
  return error instanceof StoreError && (error.code === 'refused' || error.code === 'read-only');
}
