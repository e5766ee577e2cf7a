/** Ensures that only one process at a time uses a `state_dir`. */
import { accessSync, constants, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeFolder } from '../system/make-folder.ts';
import { StoreError } from './store-error.ts';

/** Thrown when another process, or another part of this one, has the lock of the folder or leads in the database. */
export class StateLockedError extends Error {
  override readonly name = 'StateLockedError';
}

const SQLITE_BUSY = 5;

/**
 * Lock of a `state_dir`: the operating system's lock on a file, taken through SQLite since Node.js has no call for it,
 * and so released at the end of the process, too. Keep the object: when it is garbage-collected, the lock is released.
 */
export class StateLock {
  readonly #database: DatabaseSync;
  readonly #holderFile: string;

  private constructor(database: DatabaseSync, holderFile: string) {
    this.#database = database;
    this.#holderFile = holderFile;
  }

  /**
   * Takes the lock of `stateDir`; creates the folder if it is missing.
   * @throws StateLockedError if it is held; StoreError if the folder cannot be created or written.
   */
  static acquire(stateDir: string): StateLock {
    const lockFile = join(stateDir, 'lock');
    const holderFile = join(stateDir, 'lock.holder');
    try {
      makeFolder(stateDir);
      accessSync(stateDir, constants.W_OK | constants.X_OK);
    } catch (error) {
      throw StoreError.fromSystem(error, stateDir);
    }

    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(lockFile);
      // Nothing is written to the file, so that the lock can be taken on a full disk, too.
      database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    } catch (error) {
      database?.close();
      if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) {
        throw new StateLockedError(
          `${stateDir} is in use by ${holderIn(holderFile)}: stop it, or set another state_dir for this process`,
          { cause: error },
        );
      }
      throw StoreError.fromSqlite(error, lockFile);
    }
    recordHolder(holderFile);
    return new StateLock(database, holderFile);
  }

  /** Releases the lock. Safe to repeat. */
  release(): void {
    if (!this.#database.isOpen) return;
    rmSync(this.#holderFile, { force: true });
    this.#database.close();
  }
}

/** Writes to `file` who holds the lock. Best effort, only for the error message of the process that is refused. */
function recordHolder(file: string): void {
  try {
    writeFileSync(file, `${process.pid} ${hostname()}\n`);
  } catch {
    rmSync(file, { force: true });
  }
}

function holderIn(file: string): string {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // The holder could not write it, or has not written it yet.
  }
  const [, pid, host] = /^(\d+) (\S+)\n$/.exec(text) ?? [];
  return pid === undefined ? 'another process' : `process ${pid} on ${host}`;
}
