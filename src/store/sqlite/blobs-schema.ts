/** The tables of the blobs. */
import type { DatabaseSchema } from './database.ts';

/**
 * - `blob.size` is NULL until all pieces are stored, and again while they are removed.
 * - `unnamed_since` is when it was first seen that the blob is not in use, or when its first piece was stored; NULL while
 * it is in use.
 * - Pieces have a checksum, since SQLite does not notice bytes that the disk has changed.
 */
export const BLOBS_SCHEMA: DatabaseSchema = {
  // `RGIB`
  applicationId: 0x52474942,
  // Space that removed blobs leave is given back to the disk.
  settings: 'PRAGMA auto_vacuum = INCREMENTAL',
  migrations: [
    `
    CREATE TABLE blob (
      kind TEXT NOT NULL,
      digest TEXT NOT NULL,
      size INTEGER,
      unnamed_since INTEGER,
      PRIMARY KEY (kind, digest)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE blob_piece (
      id INTEGER PRIMARY KEY,
      kind TEXT NOT NULL,
      digest TEXT NOT NULL,
      position INTEGER NOT NULL,
      checksum INTEGER NOT NULL,
      bytes BLOB NOT NULL,
      UNIQUE (kind, digest, position),
      FOREIGN KEY (kind, digest) REFERENCES blob ON DELETE CASCADE
    ) STRICT;
    `,
  ],
  checkedTables: ['blob'],
  whenLost: 'what was in it is made or read again',
};
