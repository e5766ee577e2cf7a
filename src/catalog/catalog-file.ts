/** The SQLite file of the catalog: opened, checked, and set aside if it cannot be used. */
import { accessSync, constants, existsSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CatalogError } from './catalog-error.ts';
import { APPLICATION_ID, LOOKUP_TABLES, SCHEMA, SCHEMA_VERSION } from './schema.ts';

/** How long another program that looks into the file is waited for, in milliseconds. */
const BUSY_TIMEOUT = 5000;

/**
 * The file is this process's alone, which the lock of its folder sees to: then SQLite need not lock it for each look-up, nor share memory
 * for its log, which it cannot on a network's file system.
 * A page of 8 kB holds most images whole.
 * WAL with synchronous NORMAL keeps the file whole through kill -9 and a power cut, which may cost the last transactions.
 * Temporary tables stay in memory, since a container may have no writable /tmp; they hold digests only.
 * The file is not mapped into memory (SQLite's default), where a fault of the disk would be a signal that ends the process.
 */
const SETTINGS = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA page_size = 8192;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA cache_size = -4000;
  PRAGMA journal_size_limit = 16000000;
  PRAGMA temp_store = MEMORY;
`;

/** The database, its log and the index of that, by what their names end with. */
const FILES = ['', '-wal', '-shm'] as const;

/** The file is there, and is no catalog that this version can use. */
class UnusableFile extends Error {}

/**
 * Opens the catalog's file, or makes it; its folder must exist. One that is damaged, of another program or of another
 * schema version is set aside, told to `onWarning`, and made anew.
 * @throws CatalogError if it can neither be opened nor made.
 */
export function openCatalogFile(file: string, onWarning: (warning: string) => void): DatabaseSync {
  try {
    accessSync(dirname(file), constants.W_OK);
    for (const path of FILES.map((suffix) => file + suffix)) if (existsSync(path)) accessSync(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    throw CatalogError.fromSystem(error, file);
  }
  try {
    return openUsable(file);
  } catch (error) {
    const reason = reasonToSetAside(error);
    if (reason === undefined) throw CatalogError.fromSqlite(error, file);
    const aside = setCatalogFileAside(file);
    onWarning(`${file} ${reason}: it was set aside as ${aside}, which may be removed, and the catalog will be read anew from the registries`);
  }
  try {
    return openUsable(file);
  } catch (error) {
    throw CatalogError.fromSqlite(error, file);
  }
}

/**
 * Gives the catalog's file, which must not be open, another name in its folder; returns its new path.
 * @throws CatalogError if it cannot be renamed.
 */
export function setCatalogFileAside(file: string): string {
  const aside = `${file}.damaged-${new Date().toISOString().replaceAll(/[-:]/g, '')}`;
  try {
    // The database goes first: SQLite ignores a log that has lost its database, but not the reverse.
    for (const suffix of FILES) if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
  } catch (error) {
    throw CatalogError.fromSystem(error, file);
  }
  return aside;
}

function openUsable(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT });
  try {
    const identity = database
      .prepare(
        `SELECT application_id AS application, user_version AS version, (SELECT count(*) FROM sqlite_schema) AS tables
         FROM pragma_application_id, pragma_user_version`,
      )
      .get();
    const fresh = identity?.['tables'] === 0 && identity['application'] === 0;
    if (!fresh) {
      if (identity?.['application'] !== APPLICATION_ID) throw new UnusableFile('is a database of another program');
      if (identity['version'] !== SCHEMA_VERSION) throw new UnusableFile('was made by another version of this program');
    }
    database.exec(SETTINGS);
    if (fresh) create(database);
    else check(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** In one transaction, so that a crash leaves an empty file or a catalog. */
function create(database: DatabaseSync): void {
  database.exec(`BEGIN IMMEDIATE; ${SCHEMA} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`);
}

/**
 * Looks for damage in all that look-ups read. Labels, annotations and icons are left out: reading a large catalog whole would
 * cost seconds at each start, and damage to them is found when they are read.
 */
function check(database: DatabaseSync): void {
  const model = new DatabaseSync(':memory:');
  model.exec(SCHEMA);
  if (schemaOf(database) !== schemaOf(model)) throw new UnusableFile('is damaged (its tables are not those of a catalog)');
  model.close();
  for (const table of LOOKUP_TABLES) {
    const verdict = database.prepare(`PRAGMA quick_check(${table})`).get()?.['quick_check'];
    if (verdict !== 'ok') throw new UnusableFile(`is damaged (${String(verdict)})`);
  }
  if (database.prepare('SELECT id FROM catalog').get() === undefined) throw new UnusableFile('is damaged (it has lost its id)');
  database.prepare('SELECT manifest FROM image LIMIT 1').get();
  // Writes nothing, but fails where the header says that the file is for reading only.
  database.exec('DELETE FROM repository WHERE FALSE');
}

function schemaOf(database: DatabaseSync): string {
  return JSON.stringify(database.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema').all());
}

/**
 * Results of the fixed statements above that a sound file cannot give: SQLITE_ERROR (tables that cannot be
 * understood), SQLITE_READONLY (the system does let it be written, its header does not), SQLITE_CORRUPT and SQLITE_NOTADB.
 */
const SIGNS_OF_DAMAGE: ReadonlySet<number> = new Set([1, 8, 11, 26]);

function reasonToSetAside(error: unknown): string | undefined {
  if (error instanceof UnusableFile) return error.message;
  const damaged = error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' && SIGNS_OF_DAMAGE.has(error.errcode & 0xff);
  return damaged ? `is damaged (${error.message})` : undefined;
}
