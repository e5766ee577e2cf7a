/** The SQLite files of the store: opened, migrated, checked, and set aside if they cannot be used. */
import { accessSync, constants, existsSync, renameSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../store-error.ts';

/** How long another connection that writes is waited for, in milliseconds. */
const BUSY_TIMEOUT = 5000;
/** How long readers are waited for so that the log can begin anew, in milliseconds. One that reads longer than this costs space, no more. */
const LOG_TIMEOUT = 100;
/** What the log may take while nobody keeps it from beginning anew, in bytes: twice what SQLite itself aims for. */
const LOG_LIMIT = 16_000_000;

/**
 * A page of 8 kB holds most images whole. WAL with synchronous NORMAL keeps the file whole through kill -9 and a power cut, which may
 * cost the last transactions. The file is not mapped into memory (SQLite's default), where a faulty disk would end the process by a signal.
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

/** The database, its log and the index of that, by what their names end with. */
const FILES = ['', '-wal', '-shm'] as const;

/** A file of the store that is open. What fails in it is a {@link StoreError}. */
export abstract class SqliteFile {
  protected readonly file: string;
  protected readonly database: DatabaseSync;
  #closed = false;

  protected constructor(file: string, database: DatabaseSync) {
    this.file = file;
    this.database = database;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.guard(() => {
      this.database.close();
    });
  }

  protected guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (this.#closed) throw StoreError.of('closed', this.file, undefined, { cause: error });
      throw StoreError.fromSqlite(error, this.file);
    }
  }

  /** Runs `work` in one transaction, whole or not at all. */
  protected transaction<T>(work: () => T): T {
    return this.guard(() => {
      const { database } = this;
      database.exec('BEGIN IMMEDIATE');
      try {
        const result = work();
        // SQLite itself rolls a transaction back when the disk is full; what follows must not be written outside of it.
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

/** What one file of the store holds. */
export interface DatabaseSchema {
  /** Marks the file (`PRAGMA application_id`). */
  readonly applicationId: number;
  /** SQL, in the order in which it is applied: a new file takes all of them, an older one those that it lacks. Never changed once released. */
  readonly migrations: readonly string[];
  /** Tables that are small enough to be checked at each start. */
  readonly checkedTables: readonly string[];
  /** A table that has one row, always, and what is lost without it. */
  readonly oneRow?: { readonly table: string; readonly what: string };
  /** Says what follows from losing the file: "… will be read anew from the registries". */
  readonly whenLost: string;
}

/** The file is there, and this version cannot use it. */
class UnusableFile extends Error {}

/**
 * Opens a file of the store for writing, or makes it; its folder must exist. One that is damaged, of another program or of a newer
 * version is set aside, told to `onWarning`, and made anew.
 * @throws StoreError if it can neither be opened nor made.
 */
export function openDatabase(file: string, schema: DatabaseSchema, onWarning: (warning: string) => void): DatabaseSync {
  try {
    accessSync(dirname(file), constants.W_OK);
    for (const path of FILES.map((suffix) => file + suffix)) if (existsSync(path)) accessSync(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    throw StoreError.fromSystem(error, file);
  }
  try {
    return openUsable(file, schema);
  } catch (error) {
    const reason = reasonToSetAside(error);
    if (reason === undefined) throw StoreError.fromSqlite(error, file);
    const aside = setAside(file);
    onWarning(`${file} ${reason}: it was set aside as ${aside}, which may be removed, and ${schema.whenLost}`);
  }
  try {
    return openUsable(file, schema);
  } catch (error) {
    throw StoreError.fromSqlite(error, file);
  }
}

/**
 * Opens a file of the store for reading alone, beside the connection that writes it.
 * @throws StoreError if it cannot be opened.
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

/** Has the log begin anew once it is too large, as it cannot by itself where at each commit somebody else happens to read. */
export function boundLog(database: DatabaseSync, file: string): void {
  const { size } = statSync(`${file}-wal`, { throwIfNoEntry: false }) ?? { size: 0 };
  if (size <= LOG_LIMIT) return;
  try {
    database.exec(`PRAGMA busy_timeout = ${LOG_TIMEOUT}; PRAGMA wal_checkpoint(RESTART); PRAGMA busy_timeout = ${BUSY_TIMEOUT}`);
  } catch {
    // What was committed is safe in the log; a disk that is full or faulty is told by the next commit.
  }
}

/**
 * Gives a file of the store, which must not be open, another name in its folder; returns its new path.
 * @throws StoreError if it cannot be renamed.
 */
export function setAside(file: string): string {
  const aside = `${file}.damaged-${new Date().toISOString().replaceAll(/[-:]/g, '')}`;
  try {
    // The database goes first: SQLite ignores a log that has lost its database, but not the reverse.
    for (const suffix of FILES) if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
  } catch (error) {
    throw StoreError.fromSystem(error, file);
  }
  return aside;
}

function openUsable(file: string, schema: DatabaseSchema): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT });
  try {
    const identity = database
      .prepare(
        `SELECT application_id AS application, user_version AS version, (SELECT count(*) FROM sqlite_schema) AS tables
         FROM pragma_application_id, pragma_user_version`,
      )
      .get() as { readonly application: number; readonly version: number; readonly tables: number };
    const fresh = identity.tables === 0 && identity.application === 0;
    if (!fresh && identity.application !== schema.applicationId) throw new UnusableFile('is a database of another program');
    if (identity.version > schema.migrations.length) throw new UnusableFile('was made by a newer version of this program');
    if (!fresh && identity.version === 0) throw new UnusableFile('is damaged (it has lost its version)');
    database.exec(SETTINGS);
    migrate(database, schema, fresh ? 0 : identity.version);
    if (!fresh) check(database, schema, basename(file));
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Each in one transaction, so that a crash leaves the file as one version or the other has it. */
function migrate(database: DatabaseSync, { applicationId, migrations }: DatabaseSchema, from: number): void {
  for (const [version, migration] of migrations.entries()) {
    if (version < from) continue;
    database.exec(`BEGIN IMMEDIATE; ${migration}; PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${version + 1}; COMMIT`);
  }
}

/** Large tables are left out: reading them whole would cost seconds at each start, and damage to them is found when they are read. */
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
  if (schema.oneRow !== undefined && database.prepare(`SELECT 1 FROM ${schema.oneRow.table}`).get() === undefined) throw new UnusableFile(`is damaged (it has lost ${schema.oneRow.what})`);
  // Writes nothing, but fails where the header says that the file is for reading only.
  database.exec(`DELETE FROM ${schema.checkedTables[0] ?? ''} WHERE FALSE`);
}

function schemaOf(database: DatabaseSync): string {
  return JSON.stringify(database.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name').all());
}

/**
 * Results of the statements above that a sound file cannot give: SQLITE_ERROR (tables that cannot be
 * understood), SQLITE_READONLY (the system does let it be written, its header does not), SQLITE_CORRUPT and SQLITE_NOTADB.
 */
const SIGNS_OF_DAMAGE: ReadonlySet<number> = new Set([1, 8, 11, 26]);

function reasonToSetAside(error: unknown): string | undefined {
  if (error instanceof UnusableFile) return error.message;
  const damaged = error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' && SIGNS_OF_DAMAGE.has(error.errcode & 0xff);
  return damaged ? `is damaged (${error.message})` : undefined;
}
