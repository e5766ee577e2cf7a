/** Opens, migrates and checks the SQLite files of the store, and sets aside those that cannot be used. */
import { accessSync, constants, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../store-error.ts';

/** How long to wait for another connection that writes, in milliseconds. */
const BUSY_TIMEOUT = 5000;
/**
 * How long to wait for readers before the write-ahead log restarts, in milliseconds. A slower reader only costs disk
 * space.
 */
const LOG_TIMEOUT = 100;
/**
 * Size from which the write-ahead log is restarted, in bytes: twice SQLite's own checkpoint threshold with these pages.
 */
const LOG_LIMIT = 16_000_000;

/**
 * A page of 8 kB holds most images whole. WAL with synchronous NORMAL survives kill -9; a power cut may cost the last
 * transactions. No mmap (SQLite's default): with it, a disk error would end the process by a signal.
 */
const SETTINGS = `
  PRAGMA page_size = 8192;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA cache_size = -4000;
  PRAGMA journal_size_limit = ${LOG_LIMIT};
  PRAGMA temp_store = MEMORY;
  PRAGMA foreign_keys = ON;
`;

/** Suffixes of the database, its write-ahead log and the log's index. */
const FILES = ['', '-wal', '-shm'] as const;

/** An open SQLite file of the store, whose errors are {@link StoreError}s. */
export abstract class SqliteFile {
  protected readonly file: string;
  protected readonly database: DatabaseSync;
  readonly #inode: number | undefined;
  #closed = false;

  protected constructor(file: string, database: DatabaseSync) {
    this.file = file;
    this.database = database;
    this.#inode = inodeOf(file);
  }

  /** False once another file has replaced the one that is open. */
  get isCurrent(): boolean {
    return inodeOf(this.file) === this.#inode;
  }

  /** Closes the file. Safe to repeat. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.guard(() => {
      // Another object may share the connection.
      if (this.database.isOpen) this.database.close();
    });
  }

  /** Runs `work`, and converts SQLite's errors to StoreErrors. */
  protected guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (this.#closed) throw StoreError.of('closed', this.file, undefined, { cause: error });
      throw StoreError.fromSqlite(error, this.file);
    }
  }

  /** Runs `work` in one transaction. */
  protected transaction<T>(work: () => T): T {
    return this.guard(() => {
      const { database } = this;
      database.exec('BEGIN IMMEDIATE');
      try {
        const result = work();
        // SQLite rolls back by itself when the disk is full; statements after that would run outside of the
        // transaction.
        if (!database.isTransaction) throw new Error('the transaction was already rolled back by an earlier error');
        database.exec('COMMIT');
        return result;
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK');
        throw error;
      }
    });
  }
}

function inodeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.ino;
}

/** Tables of one file of the store. */
export interface DatabaseSchema {
  /** Marks the file (`PRAGMA application_id`). */
  readonly applicationId: number;
  /** SQL that must run before a new file is written. */
  readonly settings?: string;
  /** SQL, applied in this order: all to a new file, the missing ones to an older file. Never changed once released. */
  readonly migrations: readonly string[];
  /** Tables that are small enough to check at each start. */
  readonly checkedTables: readonly string[];
  /** A table that always has one row, and what is lost without it. */
  readonly oneRow?: { readonly table: string; readonly what: string };
  /** Says what happens after the file is lost: "… will be read again from the registries". */
  readonly whenLost: string;
}

/** The file exists, but this version cannot use it. */
class UnusableFile extends Error {}

/**
 * Opens a file of the store for writing, or creates it; its folder must exist. A file that is damaged, of another
 * program or of a newer version is set aside with a warning, and replaced by a new one.
 * @throws StoreError if it can be neither opened nor created
 */
export function openDatabase(file: string, schema: DatabaseSchema, onWarning: (warning: string) => void): DatabaseSync {
  return openOrReplace(
    file,
    () => openUsable(file, schema),
    (reason) => {
      const aside = setAside(file);
      onWarning(`${file} ${reason}: it was set aside as ${aside}, which you can delete, and ${schema.whenLost}`);
    },
  );
}

/**
 * Opens a copy of what another store has, or creates it, for this connection alone; its folder must exist. A file that
 * cannot be used is removed with a warning, and replaced by a new one. Nothing is synced, so that no write waits for
 * the disk: what a power cut damages is copied again.
 * @throws StoreError if it can be neither opened nor created
 */
export function openCopy(file: string, schema: DatabaseSchema, onWarning: (warning: string) => void): DatabaseSync {
  const database = openOrReplace(
    file,
    // Keeps the index of the log in memory: if it were a file that somebody truncates, the process would be killed.
    () => openUsable(file, schema, 'PRAGMA locking_mode = EXCLUSIVE'),
    (reason) => {
      removeDatabase(file);
      onWarning(`${file} ${reason}: it was removed, and will be filled again`);
    },
  );
  database.exec('PRAGMA synchronous = OFF');
  return database;
}

/** @param replace moves a file away that cannot be used for this reason */
function openOrReplace(file: string, open: () => DatabaseSync, replace: (reason: string) => void): DatabaseSync {
  try {
    accessSync(dirname(file), constants.W_OK);
    for (const path of FILES.map((suffix) => file + suffix))
      if (existsSync(path)) accessSync(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    throw StoreError.fromSystem(error, file);
  }
  try {
    return open();
  } catch (error) {
    const reason = reasonToReplace(error);
    if (reason === undefined) throw StoreError.fromSqlite(error, file);
    replace(reason);
  }
  try {
    return open();
  } catch (error) {
    throw StoreError.fromSqlite(error, file);
  }
}

/**
 * Opens a file of the store read-only, beside the connection that writes it.
 * @throws StoreError if it cannot be opened
 */
export function openForReading(file: string): DatabaseSync {
  try {
    const database = new DatabaseSync(file, { readOnly: true, timeout: BUSY_TIMEOUT });
    database.exec('PRAGMA cache_size = -4000');
    return database;
  } catch (error) {
    throw StoreError.fromSqlite(error, file);
  }
}

/**
 * Restarts the write-ahead log once it is too large: SQLite does not do so itself if there is a reader at each commit.
 */
export function boundLog(database: DatabaseSync, file: string): void {
  const { size } = statSync(`${file}-wal`, { throwIfNoEntry: false }) ?? { size: 0 };
  if (size <= LOG_LIMIT) return;
  try {
    database.exec(
      `PRAGMA busy_timeout = ${LOG_TIMEOUT}; PRAGMA wal_checkpoint(RESTART); PRAGMA busy_timeout = ${BUSY_TIMEOUT}`,
    );
  } catch {
    // What was committed is safe in the log; the next commit reports a disk that is full or faulty.
  }
}

/**
 * Renames a file of the store, which must be closed, within its folder; returns its new path.
 * @throws StoreError if that fails
 */
export function setAside(file: string): string {
  const aside = `${file}.damaged-${new Date().toISOString().replaceAll(/[-:]/g, '')}`;
  try {
    // The database first: SQLite ignores a log without its database, but not a database without its log.
    for (const suffix of FILES) if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
  } catch (error) {
    throw StoreError.fromSystem(error, file);
  }
  return aside;
}

/**
 * Removes a file of the store, which must be closed.
 * @throws StoreError if that fails
 */
export function removeDatabase(file: string): void {
  try {
    for (const suffix of FILES) rmSync(file + suffix, { force: true });
  } catch (error) {
    throw StoreError.fromSystem(error, file);
  }
}

/** @param first SQL that runs before anything is read */
function openUsable(file: string, schema: DatabaseSchema, first = ''): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT });
  try {
    database.exec(first);
    const identity = database
      .prepare(
        `SELECT application_id AS application, user_version AS version, (SELECT count(*) FROM sqlite_schema) AS tables
         FROM pragma_application_id, pragma_user_version`,
      )
      .get() as { readonly application: number; readonly version: number; readonly tables: number };
    const fresh = identity.tables === 0 && identity.application === 0;
    if (!fresh && identity.application !== schema.applicationId)
      throw new UnusableFile('is a database of another program');
    if (identity.version > schema.migrations.length)
      throw new UnusableFile('was made by a newer version of this program');
    if (!fresh && identity.version === 0) throw new UnusableFile('is damaged (its version is missing)');
    database.exec(`${schema.settings ?? ''}; ${SETTINGS}`);
    migrate(database, schema, fresh ? 0 : identity.version);
    if (!fresh) check(database, schema, basename(file));
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Applies each migration in one transaction, so that a crash leaves the file at one version or the other. */
function migrate(database: DatabaseSync, { applicationId, migrations }: DatabaseSchema, from: number): void {
  for (const [version, migration] of migrations.entries()) {
    if (version < from) continue;
    database.exec(
      `BEGIN IMMEDIATE; ${migration}; PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${version + 1}; COMMIT`,
    );
  }
}

/**
 * Checks all but the large tables, which would take seconds at each start; damage to those is found when they are read.
 */
function check(database: DatabaseSync, schema: DatabaseSchema, name: string): void {
  const model = new DatabaseSync(':memory:');
  for (const migration of schema.migrations) model.exec(migration);
  const same = schemaOf(database) === schemaOf(model);
  model.close();
  if (!same) throw new UnusableFile(`is damaged (its tables are not those of ${name})`);
  for (const table of schema.checkedTables) {
    const verdict = database.prepare(`PRAGMA quick_check(${table})`).get()?.['quick_check'];
    if (verdict !== 'ok') throw new UnusableFile(`is damaged (${String(verdict)})`);
  }
  if (schema.oneRow !== undefined && database.prepare(`SELECT 1 FROM ${schema.oneRow.table}`).get() === undefined)
    throw new UnusableFile(`is damaged (${schema.oneRow.what} is missing)`);
  // Writes nothing, but fails if the file's header says that it is read-only.
  database.exec(`DELETE FROM ${schema.checkedTables[0] ?? ''} WHERE FALSE`);
}

function schemaOf(database: DatabaseSync): string {
  return JSON.stringify(database.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name').all());
}

/**
 * Results that the statements above never give for an intact file: SQLITE_ERROR (unreadable schema), SQLITE_READONLY
 * (by the file's header, since its permissions were checked), SQLITE_CORRUPT, SQLITE_TOOBIG (a row that claims
 * gigabytes) and SQLITE_NOTADB.
 */
const SIGNS_OF_DAMAGE: ReadonlySet<number> = new Set([1, 8, 11, 18, 26]);

function reasonToReplace(error: unknown): string | undefined {
  if (error instanceof UnusableFile) return error.message;
  const damaged =
    error instanceof Error &&
    'errcode' in error &&
    typeof error.errcode === 'number' &&
    SIGNS_OF_DAMAGE.has(error.errcode & 0xff);
  return damaged ? `is damaged (${error.message})` : undefined;
}
