/** The tables of the catalog, and that of the settings. */
import type { DatabaseSchema } from './database.ts';

/**
 * - Text is compared byte by byte, which for UTF-8 is code point order. Digests as bytes would save 0.4 % of the file
 * and no time.
 * - Labels and annotations, nearly all of the file, have a table of their own, so that look-ups do not read them. They
 * have a checksum,
 *   since SQLite does not notice text that the disk has changed.
 * - `manifest.stored` is the estimated size of a manifest, in bytes; the table `stored` has the sums by registry, with
 * tags.
 * - A manifest belongs to the registry it was read from: that another registry names the same digest proves nothing.
 * - Tags and index children may name unknown digests, so these are not foreign keys. An invalid child has an empty
 * digest and a fault.
 */
export const CATALOG_SCHEMA: DatabaseSchema = {
  // `RGIC`
  applicationId: 0x52474943,
  migrations: [
    `
    CREATE TABLE catalog (id TEXT NOT NULL, last_mark INTEGER NOT NULL DEFAULT 0) STRICT;
    INSERT INTO catalog (id) VALUES (lower(hex(randomblob(16))));

    CREATE TABLE scanned (
      registry TEXT NOT NULL,
      taken TEXT NOT NULL,
      PRIMARY KEY (registry, taken)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE stored (
      registry TEXT PRIMARY KEY,
      bytes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE held_tag (
      registry TEXT NOT NULL,
      repository TEXT NOT NULL,
      tag TEXT NOT NULL,
      PRIMARY KEY (registry, repository, tag)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE repository (
      id INTEGER PRIMARY KEY,
      registry TEXT NOT NULL,
      name TEXT NOT NULL,
      error TEXT,
      missed_scans INTEGER NOT NULL DEFAULT 0,
      UNIQUE (registry, name)
    ) STRICT;

    CREATE TABLE tag (
      repository INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
      tag TEXT NOT NULL,
      digest TEXT NOT NULL,
      PRIMARY KEY (repository, tag)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tag_by_digest ON tag (digest);

    CREATE TABLE kept (
      repository INTEGER NOT NULL,
      tag TEXT NOT NULL,
      position INTEGER NOT NULL,
      digest TEXT NOT NULL,
      PRIMARY KEY (repository, tag, position),
      FOREIGN KEY (repository, tag) REFERENCES tag ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX kept_by_digest ON kept (digest);

    CREATE VIEW tagged (repository, digest) AS
      SELECT repository, digest FROM tag UNION ALL SELECT repository, digest FROM kept;

    CREATE TABLE manifest (
      id INTEGER PRIMARY KEY,
      registry TEXT NOT NULL,
      digest TEXT NOT NULL,
      kind TEXT NOT NULL CHECK (kind IN ('image', 'index', 'artifact')),
      media_type TEXT NOT NULL,
      size INTEGER NOT NULL,
      os TEXT,
      architecture TEXT,
      stored INTEGER NOT NULL,
      UNIQUE (registry, digest)
    ) STRICT;

    CREATE TABLE index_child (
      parent INTEGER NOT NULL REFERENCES manifest ON DELETE CASCADE,
      position INTEGER NOT NULL,
      digest TEXT NOT NULL,
      fault TEXT,
      PRIMARY KEY (parent, position)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX index_child_by_digest ON index_child (digest);

    CREATE TABLE image (
      manifest INTEGER PRIMARY KEY REFERENCES manifest ON DELETE CASCADE,
      annotations TEXT NOT NULL,
      labels TEXT NOT NULL,
      checksum INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE image_ref (
      ref TEXT NOT NULL,
      manifest INTEGER NOT NULL REFERENCES image ON DELETE CASCADE,
      PRIMARY KEY (ref, manifest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX image_ref_by_manifest ON image_ref (manifest);

    CREATE TABLE image_icon (
      manifest INTEGER NOT NULL REFERENCES image ON DELETE CASCADE,
      place TEXT NOT NULL CHECK (place IN ('annotation', 'label')),
      key TEXT NOT NULL,
      png TEXT NOT NULL,
      PRIMARY KEY (manifest, place, key)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE dirty (
      "index" TEXT NOT NULL,
      repository TEXT NOT NULL,
      mark INTEGER NOT NULL,
      PRIMARY KEY ("index", repository)
    ) STRICT, WITHOUT ROWID;
    `,
    'CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID',
    'ALTER TABLE repository ADD COLUMN is_public INTEGER NOT NULL DEFAULT 0 CHECK (is_public IN (0, 1))',
    `
    CREATE TABLE replaced (
      registry TEXT NOT NULL,
      repository TEXT NOT NULL,
      tag TEXT NOT NULL,
      os TEXT NOT NULL,
      architecture TEXT NOT NULL,
      digest TEXT NOT NULL,
      at INTEGER NOT NULL,
      PRIMARY KEY (registry, repository, tag, os, architecture, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX replaced_by_time ON replaced (registry, at);

    CREATE TABLE wanted_delta (
      "index" TEXT NOT NULL,
      repository TEXT NOT NULL,
      target TEXT NOT NULL,
      source TEXT NOT NULL,
      registry TEXT NOT NULL,
      rank INTEGER NOT NULL,
      PRIMARY KEY ("index", repository, target, source)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX wanted_delta_by_images ON wanted_delta (registry, target, source);

    CREATE TABLE delta (
      registry TEXT NOT NULL,
      target TEXT NOT NULL,
      source TEXT NOT NULL,
      kind TEXT NOT NULL CHECK (kind IN ('made', 'unsuitable', 'failed')),
      manner TEXT NOT NULL,
      reason TEXT,
      digest TEXT,
      size INTEGER,
      layer_size INTEGER,
      from_layer TEXT,
      to_layer TEXT,
      version TEXT,
      PRIMARY KEY (registry, target, source)
    ) STRICT, WITHOUT ROWID;
    `,
  ],
  checkedTables: [
    'repository',
    'catalog',
    'scanned',
    'stored',
    'held_tag',
    'tag',
    'kept',
    'manifest',
    'index_child',
    'dirty',
    'setting',
    'replaced',
    'wanted_delta',
    'delta',
  ],
  oneRow: { table: 'catalog', what: 'its id' },
  whenLost: 'the catalog will be read again from the registries',
};
