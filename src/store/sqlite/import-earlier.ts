/**
 * Imports the one file of version 0.1, `catalog.sqlite`, so that an upgrade fetches nothing again. That file is only
 * read, and stays for a downgrade.
 */
import { accessSync, constants } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { messageOf } from '../../system/message-of.ts';
import { digestOf } from '../../registry/digest.ts';
import { StoreError } from '../store-error.ts';
import { CATALOG_SCHEMA } from './catalog-schema.ts';
import { openDatabase, type DatabaseSchema } from './database.ts';
import { PUBLICATIONS_SCHEMA } from './publications-schema.ts';

/** `RGIX`, and the last schema version of that file. */
const APPLICATION_ID = 0x52474958;
const SCHEMA_VERSION = 6;

/** Copies from the database that is attached as `earlier`. */
const IMPORT_CATALOG = `
  UPDATE catalog SET id = (SELECT id FROM earlier.catalog);
  INSERT INTO scanned SELECT registry, taken FROM earlier.scanned;
  INSERT INTO held_tag SELECT registry, repository, tag FROM earlier.held_tag;
  INSERT INTO repository (id, registry, name, error, missed_scans) SELECT id, registry, name, error, missed_scans FROM earlier.repository;
  INSERT INTO tag SELECT repository, tag, digest FROM earlier.tag;
  INSERT INTO kept SELECT repository, tag, position, digest FROM earlier.kept;
  INSERT INTO manifest SELECT id, registry, digest, kind, media_type, size, os, architecture, stored FROM earlier.manifest;
  INSERT INTO index_child SELECT parent, position, digest, fault FROM earlier.index_child;
  INSERT INTO image SELECT manifest, annotations, labels, checksum FROM earlier.image;
  INSERT INTO image_icon SELECT manifest, place, key, png FROM earlier.image_icon;
  INSERT OR IGNORE INTO image_ref
    SELECT labels ->> '$."org.flatpak.ref"', manifest FROM image WHERE labels ->> '$."org.flatpak.ref"' IS NOT NULL
    UNION ALL
    SELECT annotations ->> '$."org.flatpak.ref"', manifest FROM image WHERE annotations ->> '$."org.flatpak.ref"' IS NOT NULL;
  INSERT INTO stored
    SELECT registry, sum(bytes) FROM (
      SELECT registry, stored AS bytes FROM manifest
      UNION ALL
      SELECT registry, 200 FROM tag JOIN repository ON repository.id = tag.repository
    ) GROUP BY registry;
`;

/** Damaged PNGs are left out: their images are read again. */
const IMPORT_PNGS =
  'INSERT INTO png (digest, bytes) SELECT digest, bytes FROM earlier.png WHERE digest = digest_of(bytes);';

/** The earlier file cannot be imported. */
class UnusableEarlierFile extends Error {}

/**
 * Creates the files of a new store from `earlier`; returns whether that succeeded. Warns if `earlier` is damaged or not
 * of version 0.1.
 * @throws StoreError if `earlier` cannot be opened, or the new files cannot be written
 */
export function importEarlier(
  earlier: string,
  files: { readonly catalog: string; readonly publications: string },
  onWarning: (warning: string) => void,
): boolean {
  try {
    accessSync(earlier, constants.R_OK);
  } catch (error) {
    throw StoreError.fromSystem(error, earlier);
  }
  try {
    importInto(files.catalog, CATALOG_SCHEMA, earlier, IMPORT_CATALOG);
    importInto(files.publications, PUBLICATIONS_SCHEMA, earlier, IMPORT_PNGS);
    return true;
  } catch (error) {
    if (error instanceof StoreError && error.code !== 'corrupt') throw error;
    onWarning(
      `${earlier}, which an earlier version made, cannot be imported (${messageOf(error)}): the registries will be read again`,
    );
    return false;
  }
}

/** Creates `file` from `earlier` in one transaction. */
function importInto(file: string, schema: DatabaseSchema, earlier: string, sql: string): void {
  const database = openDatabase(file, schema, (warning) => {
    throw new Error(warning);
  });
  try {
    database.function('digest_of', (bytes) => digestOf(bytes as Uint8Array));
    // Read-only: the log that a killed process has left is read, but not written into the file.
    database.prepare('ATTACH ? AS earlier').run(`${pathToFileURL(earlier).href}?mode=ro`);
    checkEarlier(database);
    database.exec(`BEGIN IMMEDIATE; ${sql} COMMIT`);
  } catch (error) {
    const known = StoreError.fromSqlite(error, file);
    throw known instanceof StoreError && known.code === 'corrupt'
      ? new UnusableEarlierFile(`it is damaged: ${messageOf(error)}`, { cause: error })
      : known;
  } finally {
    database.close();
  }
}

/** Checks all of the file, which is read whole anyway. */
function checkEarlier(database: DatabaseSync): void {
  const first = (pragma: string): unknown => Object.values(database.prepare(`PRAGMA earlier.${pragma}`).get() ?? {})[0];
  if (first('application_id') !== APPLICATION_ID) throw new UnusableEarlierFile('it is a database of another program');
  if (first('user_version') !== SCHEMA_VERSION)
    throw new UnusableEarlierFile('its tables are those of another version');
  const verdict = first('quick_check(1)');
  if (verdict !== 'ok') throw new UnusableEarlierFile(`it is damaged: ${String(verdict)}`);
}
