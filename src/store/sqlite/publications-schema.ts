/** The tables of the publications. */
import type { DatabaseSchema } from './database.ts';

/**
 * - A publication names its chunks in one blob, 32 bytes each, so that a push replaces one row, not thousands. It has a
 * checksum, since
 *   it is not content-addressed.
 * - `unnamed_since` is when it was first seen that no publication names the chunk, or that the PNG is not in use; NULL
 * while it is in use.
 */
export const PUBLICATIONS_SCHEMA: DatabaseSchema = {
  // `RGIP`
  applicationId: 0x52474950,
  migrations: [
    `
    CREATE TABLE publication (
      "index" TEXT PRIMARY KEY,
      version INTEGER NOT NULL,
      format TEXT NOT NULL,
      registry TEXT NOT NULL,
      modified INTEGER NOT NULL,
      chunks BLOB NOT NULL,
      origin TEXT NOT NULL,
      checksum INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE chunk (
      id INTEGER PRIMARY KEY,
      name BLOB NOT NULL UNIQUE,
      unnamed_since INTEGER,
      head BLOB NOT NULL,
      body BLOB NOT NULL
    ) STRICT;

    CREATE TABLE apps (
      "index" TEXT PRIMARY KEY,
      version INTEGER NOT NULL,
      digest TEXT NOT NULL,
      body BLOB NOT NULL
    ) STRICT;

    CREATE TABLE png (
      id INTEGER PRIMARY KEY,
      digest TEXT NOT NULL UNIQUE,
      unnamed_since INTEGER,
      bytes BLOB NOT NULL
    ) STRICT;
    `,
  ],
  checkedTables: ['publication'],
  whenLost: 'the indexes will be rendered again',
};
