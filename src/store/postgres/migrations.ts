/** The tables of the store in PostgreSQL. */
import { StoreError } from '../store-error.ts';
import type { PostgresDatabase, RunQuery } from './postgres-database.ts';

/** Key of the advisory lock that one migration at a time holds: `regindex` as a number. */
export const MIGRATION_LOCK = '8243108410894378360';

/**
 * Applied in this order; a released one is never changed. Text is compared byte by byte, which for UTF-8 is code point
 * order. Refs and keys of icons are kept as JSON strings, since a text of PostgreSQL holds neither U+0000 nor lone
 * surrogates; `json` holds both, escaped, and `jsonb` would not. Bodies are not compressed again, so that a segment of
 * one is read without the rest.
 *
 * Publications and lists of apps are kept by index and format: versions of the program with different formats share a
 * database, and each reads its own. `unread_since` is when no replica read the format, or the index, any more. `change` leads from the
 * chunks of the version `changed_from` to those of this one.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE catalog (id text NOT NULL, last_mark bigint NOT NULL DEFAULT 0);
  INSERT INTO catalog (id) VALUES (replace(gen_random_uuid()::text, '-', ''));

  CREATE TABLE lease (holder text NOT NULL, term bigint NOT NULL, since timestamptz NOT NULL, expires timestamptz NOT NULL);
  INSERT INTO lease (holder, term, since, expires) VALUES ('', 0, '-infinity', '-infinity');

  CREATE TABLE replica (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    version text NOT NULL,
    format integer NOT NULL,
    configuration text NOT NULL,
    configured timestamptz NOT NULL,
    started timestamptz NOT NULL,
    seen timestamptz NOT NULL,
    shown json NOT NULL
  );

  CREATE TABLE request (
    id text COLLATE "C" PRIMARY KEY,
    place bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL CHECK (kind IN ('request', 'notification')),
    reason json NOT NULL,
    scope json NOT NULL,
    asked timestamptz NOT NULL DEFAULT clock_timestamp(),
    rebuild json,
    ended timestamptz
  );

  CREATE TABLE rebuild (
    id text COLLATE "C" PRIMARY KEY,
    place bigint GENERATED ALWAYS AS IDENTITY,
    change bigint NOT NULL,
    live boolean NOT NULL,
    rebuild json NOT NULL
  );
  CREATE TABLE rebuild_change (change bigint NOT NULL);
  INSERT INTO rebuild_change (change) VALUES (0);

  CREATE TABLE scanned (registry text COLLATE "C", taken text COLLATE "C", PRIMARY KEY (registry, taken));
  CREATE TABLE stored (registry text COLLATE "C" PRIMARY KEY, bytes bigint NOT NULL);
  CREATE TABLE held_tag (registry text COLLATE "C", repository text COLLATE "C", tag text COLLATE "C", PRIMARY KEY (registry, repository, tag));

  CREATE TABLE repository (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    registry text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    error text,
    missed_scans integer NOT NULL DEFAULT 0,
    UNIQUE (registry, name)
  );

  CREATE TABLE tag (
    repository bigint REFERENCES repository ON DELETE CASCADE,
    tag text COLLATE "C",
    digest text COLLATE "C" NOT NULL,
    kept text[] COLLATE "C" NOT NULL DEFAULT '{}',
    PRIMARY KEY (repository, tag)
  );
  CREATE INDEX tag_by_digest ON tag (digest);
  CREATE INDEX tag_by_kept ON tag USING gin (kept) WHERE kept <> '{}';

  CREATE TABLE manifest (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    registry text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('image', 'index', 'artifact')),
    media_type text NOT NULL,
    size bigint NOT NULL,
    os text,
    architecture text,
    stored bigint NOT NULL,
    UNIQUE (registry, digest)
  );

  CREATE TABLE index_child (
    parent bigint REFERENCES manifest ON DELETE CASCADE,
    position integer,
    digest text COLLATE "C" NOT NULL,
    fault text,
    PRIMARY KEY (parent, position)
  );
  CREATE INDEX index_child_by_digest ON index_child (digest);

  CREATE TABLE image (manifest bigint PRIMARY KEY REFERENCES manifest ON DELETE CASCADE, annotations text NOT NULL, labels text NOT NULL);

  CREATE TABLE image_ref (ref text COLLATE "C", manifest bigint REFERENCES image ON DELETE CASCADE, PRIMARY KEY (ref, manifest));
  CREATE INDEX image_ref_by_manifest ON image_ref (manifest);

  CREATE TABLE image_icon (
    manifest bigint REFERENCES image ON DELETE CASCADE,
    place text CHECK (place IN ('annotation', 'label')),
    key text COLLATE "C",
    png text COLLATE "C" NOT NULL,
    PRIMARY KEY (manifest, place, key)
  );

  CREATE TABLE dirty ("index" text COLLATE "C", repository text COLLATE "C", mark bigint NOT NULL, PRIMARY KEY ("index", repository));

  CREATE TABLE publication (
    "index" text COLLATE "C",
    format text COLLATE "C",
    version bigint NOT NULL,
    registry text NOT NULL,
    modified bigint NOT NULL,
    chunks bytea NOT NULL,
    origin text NOT NULL,
    checksum bigint NOT NULL,
    unread_since bigint,
    changed_from bigint,
    change json,
    PRIMARY KEY ("index", format)
  );
  ALTER TABLE publication ALTER chunks SET STORAGE EXTERNAL;

  CREATE TABLE chunk (name bytea PRIMARY KEY, unnamed_since bigint, head bytea NOT NULL, body bytea NOT NULL);
  ALTER TABLE chunk ALTER head SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL;

  CREATE TABLE apps (
    "index" text COLLATE "C",
    format text COLLATE "C",
    version bigint NOT NULL,
    digest text NOT NULL,
    parts bytea NOT NULL,
    PRIMARY KEY ("index", format)
  );
  ALTER TABLE apps ALTER parts SET STORAGE EXTERNAL;

  CREATE TABLE apps_part (
    "index" text COLLATE "C",
    format text COLLATE "C",
    name bytea,
    bytes bytea NOT NULL,
    PRIMARY KEY ("index", format, name),
    FOREIGN KEY ("index", format) REFERENCES apps ON DELETE CASCADE
  );
  ALTER TABLE apps_part ALTER bytes SET STORAGE EXTERNAL;

  CREATE TABLE png (digest text COLLATE "C" PRIMARY KEY, unnamed_since bigint, bytes bytea NOT NULL);
  ALTER TABLE png ALTER bytes SET STORAGE EXTERNAL;

  CREATE TABLE setting (key text COLLATE "C" PRIMARY KEY, value text NOT NULL);
  `,
  'ALTER TABLE repository ADD is_public boolean NOT NULL DEFAULT false',
  `
  CREATE TABLE blob (
    kind text COLLATE "C",
    digest text COLLATE "C",
    size bigint,
    unnamed_since bigint,
    PRIMARY KEY (kind, digest)
  );
  CREATE TABLE blob_piece (
    kind text COLLATE "C",
    digest text COLLATE "C",
    position integer,
    checksum bigint NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (kind, digest, position),
    FOREIGN KEY (kind, digest) REFERENCES blob ON DELETE CASCADE
  );
  ALTER TABLE blob_piece ALTER bytes SET STORAGE EXTERNAL;
  `,
  `
  CREATE TABLE replaced (
    registry text COLLATE "C",
    repository text COLLATE "C",
    tag text COLLATE "C",
    os text COLLATE "C",
    architecture text COLLATE "C",
    digest text COLLATE "C",
    at bigint NOT NULL,
    PRIMARY KEY (registry, repository, tag, os, architecture, digest)
  );
  CREATE INDEX replaced_by_time ON replaced (registry, at);

  CREATE TABLE wanted_delta (
    "index" text COLLATE "C",
    repository text COLLATE "C",
    target text COLLATE "C",
    source text COLLATE "C",
    registry text COLLATE "C" NOT NULL,
    rank integer NOT NULL,
    PRIMARY KEY ("index", repository, target, source)
  );
  CREATE INDEX wanted_delta_by_images ON wanted_delta (registry, target, source);

  CREATE TABLE delta (
    registry text COLLATE "C",
    target text COLLATE "C",
    source text COLLATE "C",
    kind text NOT NULL CHECK (kind IN ('made', 'unsuitable', 'failed')),
    manner text NOT NULL,
    reason text,
    digest text COLLATE "C",
    size bigint,
    layer_size bigint,
    from_layer text,
    to_layer text,
    version text,
    PRIMARY KEY (registry, target, source)
  );
  `,
];

/**
 * Says whether a newer version of the program has changed the tables.
 * @throws StoreError
 */
export async function hasNewerTables(query: RunQuery): Promise<boolean> {
  return ((await versionOf(query)) ?? 0) > MIGRATIONS.length;
}

/** Returns the number of migrations that the tables have had; `undefined` before the first. */
async function versionOf(query: RunQuery): Promise<number | undefined> {
  const [row] = await query<{ version: number }>('SELECT version FROM schema_version');
  return row?.version;
}

/** Says whether the tables have had so many migrations. */
async function isMigrated(query: RunQuery, count: number): Promise<boolean> {
  const [made] = await query(`SELECT WHERE to_regclass('schema_version') IS NOT NULL`);
  return made !== undefined && (await versionOf(query)) === count;
}

/**
 * Brings the tables up to what this version of the program works with; one process at a time, for as long as it takes.
 * @throws StoreError, also if a newer version of the program has made them
 */
export async function migrate(database: PostgresDatabase, migrations: readonly string[] = MIGRATIONS): Promise<void> {
  // Without the lock: a start must not wait for a connection that hangs, as long as for a migration.
  if (await isMigrated(database.query, migrations.length)) return;
  await database.transaction('migration', async (query) => {
    await query(`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`);
    await query('CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)');
    const before = await versionOf(query);
    const version = before ?? 0;
    if (version > migrations.length)
      throw StoreError.saying(
        'refused',
        database.name,
        `${database.name} has tables of a newer version of this program: run that version, or use another database`,
      );
    for (const migration of migrations.slice(version)) await query(migration);
    await query(
      before === undefined
        ? 'INSERT INTO schema_version (version) VALUES ($1)'
        : 'UPDATE schema_version SET version = $1',
      [migrations.length],
    );
  });
}
