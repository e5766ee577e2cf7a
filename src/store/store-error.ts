/** The one error of the store. */

/**
 * - `corrupt`: the file is damaged; it has to be set aside and made anew;
 * - `full`: the disk is full;
 * - `read-only`: the file or its folder may not be written;
 * - `closed`: it was closed, perhaps to be set aside;
 * - `unavailable`: anything else that the system refuses, such as a missing folder, a faulty disk or a file that another program holds.
 */
export type StoreErrorCode = 'corrupt' | 'full' | 'read-only' | 'closed' | 'unavailable';

/** Thrown by the store and the state lock; its message names the file, says what went wrong and what to do. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  readonly file: string;

  private constructor(code: StoreErrorCode, file: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.file = file;
  }

  /** The error of `file`; `reason` says what is wrong, where `code` does not. */
  static of(code: StoreErrorCode, file: string, reason = '', options?: ErrorOptions): StoreError {
    return new StoreError(code, file, MESSAGES[code](file, reason), options);
  }

  /** `cause` as a StoreError, if it is SQLite's error about `file` or the system under it; any other error as it is. */
  static fromSqlite(cause: unknown, file: string): unknown {
    if (!(cause instanceof Error && 'errcode' in cause && typeof cause.errcode === 'number')) return cause;
    // The low byte is the primary code, the rest refines it.
    const code = cause.errcode === SQLITE_IOERR_SHMSIZE ? 'full' : SQLITE_CODES[cause.errcode & 0xff];
    return code === undefined ? cause : StoreError.of(code, file, cause.message, { cause });
  }

  /** `cause`, an error of `node:fs` about `file`, as a StoreError; any other error as it is. */
  static fromSystem(cause: unknown, file: string): unknown {
    if (!(cause instanceof Error && 'syscall' in cause && 'code' in cause)) return cause;
    const code = SYSTEM_CODES[String(cause.code)] ?? 'unavailable';
    return StoreError.of(code, file, cause.message, { cause });
  }
}

/** Primary result codes of SQLite (https://www.sqlite.org/rescode.html) that tell of the file, not of the program. */
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

/** SQLITE_IOERR_SHMSIZE: the shared memory file beside the database could not grow, for which only a full disk is known as the reason. */
const SQLITE_IOERR_SHMSIZE = 4874;

const SYSTEM_CODES: Readonly<Record<string, StoreErrorCode>> = {
  EACCES: 'read-only',
  EPERM: 'read-only',
  EROFS: 'read-only',
  ENOSPC: 'full',
  EDQUOT: 'full',
};

const MESSAGES: Readonly<Record<StoreErrorCode, (file: string, reason: string) => string>> = {
  corrupt: (file, reason) => `${file} is damaged (${reason}): it has to be set aside and made anew`,
  full: (file) => `${file} could not be written, the disk is full: free some space; what it held before is kept`,
  'read-only': (file, reason) => `${file} may not be written (${reason}): make it and its folder writable for this user, or set state_dir to another folder`,
  closed: (file) => `${file} was closed`,
  unavailable: (file, reason) => `${file} cannot be used (${reason}): see that its folder exists, that its disk is sound, and that no other program holds it`,
};
