/** Sees to it that one process at a time uses a `state_dir`. */
import { accessSync, constants, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeFolder } from '../system/make-folder.ts';
import { StoreError } from './store-error.ts';

/** Thrown when another process, or another part of this one, holds the folder. */
export class StateLockedError extends Error {
  override readonly name = 'StateLockedError';
}

const SQLITE_BUSY = 5;

/**
 * The lock of a `state_dir`, held until {@link release} or the end of the process, whatever ends it: it is the operating
 * system's lock on a file, taken through SQLite since Node.js has no call for it. The object must be kept: the lock goes
 * with it when it is garbage-collected.
 */
export class StateLock {
  readonly #database: DatabaseSync;
  readonly #holderFile: string;

  private constructor(database: DatabaseSync, holderFile: string) {
    this.#database = database;
    this.#holderFile = holderFile;
  }

  /**
   * Takes the lock of `stateDir`, which is made if it is missing.
   * @throws StateLockedError if it is held; StoreError if the folder cannot be made or written.
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
      // Nothing is ever written to it, so that it can be had on a full disk too.
      database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    } catch (error) {
      database?.close();
      if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) {
        throw new StateLockedError(`${stateDir} is in use by ${holderIn(holderFile)}: stop it, or give this one another state_dir`, { cause: error });
      }
      throw StoreError.fromSqlite(error, lockFile);
    }
    tellHolder(holderFile);
    return new StateLock(database, holderFile);
  }

  /** Gives the folder to the next one. May be repeated. */
  release(): void {
    if (!this.#database.isOpen) return;
    rmSync(this.#holderFile, { force: true });
    this.#database.close();
  }
}

/** Says in `file` who holds the lock. It only serves the message of whoever is refused: on a full disk that one has to do without. */
function tellHolder(file: string): void {
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
    // Its holder could not write it, or has not written it yet.
  }
  const [, pid, host] = /^(\d+) (\S+)\n$/.exec(text) ?? [];
  return pid === undefined ? 'another process' : `process ${pid} on ${host}`;
}
