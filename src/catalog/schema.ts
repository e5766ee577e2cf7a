/** The tables of the catalog. */

/** Marks an SQLite file as a catalog: `RGIX`. */
export const APPLICATION_ID = 0x52474958;

/** To be raised by every change of {@link SCHEMA} and of what is written into it: a catalog of another version is read anew from the registries. */
export const SCHEMA_VERSION = 6;

/** The tables that a look-up reads; small, even where there are many images. */
export const LOOKUP_TABLES = ['catalog', 'scanned', 'held_tag', 'repository', 'tag', 'kept', 'manifest', 'index_child'] as const;

/**
 * Text is compared byte by byte, which for UTF-8 is code point order.
 * A manifest belongs to the registry that gave it: that another registry names its digest proves nothing.
 * Digests are text: as bytes they would save 0.4 % of the file and no time.
 * Labels and annotations stand apart from the rest of an image: with the icons they are nearly all of the file, and look-ups do without them.
 * `stored` is about what a manifest takes here, in bytes, with its texts, icons and children.
 * Icons are kept once: the builds of an app for all architectures have the same.
 * A checksum guards all of an image, since SQLite does not notice when a disk has changed the bytes of a text.
 * Tags and index children may name digests that are not known (yet), so these are no foreign keys. A child that has a fault has an
 * empty digest, which is never known.
 */
export const SCHEMA = `
  CREATE TABLE catalog (id TEXT NOT NULL) STRICT;
  INSERT INTO catalog VALUES (lower(hex(randomblob(16))));

  CREATE TABLE scanned (
    registry TEXT NOT NULL,
    taken TEXT NOT NULL,
    PRIMARY KEY (registry, taken)
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

  CREATE TABLE kept (
    repository INTEGER NOT NULL,
    tag TEXT NOT NULL,
    position INTEGER NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (repository, tag, position),
    FOREIGN KEY (repository, tag) REFERENCES tag ON DELETE CASCADE
  ) STRICT, WITHOUT ROWID;

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

  CREATE TABLE image (
    manifest INTEGER PRIMARY KEY REFERENCES manifest ON DELETE CASCADE,
    annotations TEXT NOT NULL,
    labels TEXT NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE image_icon (
    manifest INTEGER NOT NULL REFERENCES image ON DELETE CASCADE,
    place TEXT NOT NULL CHECK (place IN ('annotation', 'label')),
    key TEXT NOT NULL,
    png TEXT NOT NULL,
    PRIMARY KEY (manifest, place, key)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE png (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    bytes BLOB NOT NULL
  ) STRICT;
`;
