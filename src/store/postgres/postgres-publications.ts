/** The publications in PostgreSQL. */
import { hash } from 'node:crypto';
import { digestOf, matchesDigest, type Digest } from '../../registry/digest.ts';
import { checksumOf, NAME_BYTES, nameBytes, namesIn } from '../publication-row.ts';
import type { Publication, Publications, SideDocument, StoredChunk, StoredSegment } from '../publications.ts';
import { StoreError } from '../store-error.ts';
import type { PostgresDatabase, RunQuery } from './postgres-database.ts';

/** PNGs whose use is looked at together. */
const BATCH = 10_000;

/** How long publications of a format stay that no replica reads any more, in milliseconds. */
const KEEP_UNREAD_FOR = 86_400_000;

/** {@link Publications} of one format in a PostgreSQL database, which may hold those of other formats, too. */
export class PostgresPublications implements Publications {
  readonly #database: PostgresDatabase;
  readonly #format: string;

  constructor(database: PostgresDatabase, format: string) {
    this.#database = database;
    this.#format = format;
  }

  async publication(index: string): Promise<Publication | undefined> {
    const [row] = await this.#database.query<PublicationRow>(
      'SELECT version, registry, modified, chunks, origin, checksum FROM publication WHERE "index" = $1 AND format = $2',
      [index, this.#format],
    );
    if (row === undefined) return undefined;
    const { registry, chunks, origin } = row;
    const read = {
      index,
      version: Number(row.version),
      format: this.#format,
      registry,
      modified: Number(row.modified),
      origin,
    };
    if (checksumOf(read, chunks) !== Number(row.checksum)) throw this.#mismatch(`the publication of ${index}`);
    return { ...read, chunks: namesIn(chunks) };
  }

  async published(): Promise<readonly string[]> {
    return [...(await this.versions()).keys()];
  }

  /** Returns the versions of all publications and of their lists of apps, by index. */
  async versions(): Promise<ReadonlyMap<string, PublishedVersion>> {
    const rows = await this.#database.query<{ index: string; version: string; apps: string | null }>(
      `SELECT "index", publication.version, apps.version AS apps FROM publication LEFT JOIN apps USING ("index", format)
       WHERE format = $1 ORDER BY "index"`,
      [this.#format],
    );
    return new Map(
      rows.map(({ index, version, apps }) => [
        index,
        { version: Number(version), apps: apps === null ? undefined : Number(apps) },
      ]),
    );
  }

  async chunkHeads(names: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
    const rows = await this.#database.query<{ name: Buffer; head: Buffer }>(
      'SELECT name, head FROM chunk WHERE name = ANY($1)',
      [names.map((name) => nameBytes([name]))],
    );
    return new Map(
      rows.map(({ name, head }) => {
        const text = name.toString('hex');
        if (hash('sha256', head) !== text) throw this.#mismatch(`the chunk ${text}`);
        return [text, head];
      }),
    );
  }

  async chunkSegment(name: string, { offset, length, sha256 }: StoredSegment): Promise<Buffer | undefined> {
    const [row] = await this.#database.query<{ bytes: Buffer }>(
      'SELECT substr(body, $1::integer, $2::integer) AS bytes FROM chunk WHERE name = $3',
      [offset + 1, length, nameBytes([name])],
    );
    if (row !== undefined && hash('sha256', row.bytes) !== sha256) throw this.#mismatch(`the chunk ${name}`);
    return row?.bytes;
  }

  async png(digest: Digest): Promise<Buffer | undefined> {
    const [row] = await this.#database.query<{ bytes: Buffer }>('SELECT bytes FROM png WHERE digest = $1', [digest]);
    return row !== undefined && matchesDigest(row.bytes, digest) ? row.bytes : undefined;
  }

  async apps(index: string): Promise<SideDocument | undefined> {
    const [row] = await this.#database.query<{ version: string; digest: Digest; body: Buffer }>(
      'SELECT version, digest, body FROM apps WHERE "index" = $1 AND format = $2',
      [index, this.#format],
    );
    return row !== undefined && matchesDigest(row.body, row.digest)
      ? { version: Number(row.version), body: row.body }
      : undefined;
  }

  async putChunks(chunks: readonly StoredChunk[]): Promise<void> {
    if (chunks.length === 0) return;
    await this.#database.transaction('write', async (query) => {
      // One that was lost may have been named all the time.
      await putChunks(
        query,
        chunks,
        `CASE WHEN ${isNamed('name')} THEN NULL ELSE ${Date.now()} END`,
        'unnamed_since = excluded.unnamed_since WHERE chunk.unnamed_since IS NOT NULL',
      );
    });
  }

  async publish({ chunks, ...publication }: Publication, added: readonly StoredChunk[]): Promise<void> {
    const { index, version, format, registry, modified, origin } = publication;
    const chunkNames = nameBytes(chunks);
    await this.#database.transaction('write', async (query) => {
      const [before] = await query<{ chunks: Buffer }>(
        'SELECT chunks FROM publication WHERE "index" = $1 AND format = $2',
        [index, format],
      );
      const namesBefore = new Set(before === undefined ? [] : namesIn(before.chunks));
      const names = new Set(chunks);
      if (added.length > 0) await putChunks(query, added, 'NULL');
      await query(
        `INSERT INTO publication ("index", version, format, registry, modified, chunks, origin, checksum) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT ("index", format) DO UPDATE SET version = excluded.version, registry = excluded.registry, modified = excluded.modified, chunks = excluded.chunks, origin = excluded.origin, checksum = excluded.checksum`,
        [index, version, format, registry, modified, chunkNames, origin, checksumOf(publication, chunkNames)],
      );
      const named = [...names].filter((name) => !namesBefore.has(name));
      if (named.length > 0)
        await query('UPDATE chunk SET unnamed_since = NULL WHERE name = ANY($1) AND unnamed_since IS NOT NULL', [
          named.map((name) => nameBytes([name])),
        ]);
      await release(query, before === undefined ? [] : [before], names);
    });
  }

  async putApps(index: string, { version, body }: SideDocument): Promise<void> {
    await this.#database.write(
      'INSERT INTO apps ("index", format, version, digest, body) VALUES ($1, $2, $3, $4, $5) ON CONFLICT ("index", format) DO UPDATE SET version = excluded.version, digest = excluded.digest, body = excluded.body',
      [index, this.#format, version, digestOf(body), body],
    );
  }

  async putPngs(pngs: ReadonlyMap<Digest, Uint8Array>): Promise<void> {
    if (pngs.size === 0) return;
    await this.#database.write(
      'INSERT INTO png (digest, bytes) SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT (digest) DO UPDATE SET unnamed_since = NULL, bytes = excluded.bytes',
      [[...pngs.keys()], [...pngs.values()].map((bytes) => Buffer.from(bytes))],
    );
  }

  async missingPngs(digests: readonly Digest[]): Promise<readonly Digest[]> {
    const rows = await this.#database.query<{ digest: Digest }>(
      'SELECT digest FROM unnest($1::text[]) AS wanted (digest) WHERE NOT EXISTS (SELECT FROM png WHERE png.digest = wanted.digest)',
      [digests],
    );
    return rows.map(({ digest }) => digest);
  }

  async keepIndexes(indexes: ReadonlySet<string>): Promise<void> {
    await this.#database.transaction('write', async (query) => {
      const gone = await query<{ chunks: Buffer }>(
        'DELETE FROM publication WHERE format = $1 AND "index" <> ALL($2) RETURNING chunks',
        [this.#format, [...indexes]],
      );
      await query('DELETE FROM apps WHERE format = $1 AND "index" <> ALL($2)', [this.#format, [...indexes]]);
      await release(query, gone);
    });
  }

  /**
   * Removes the publications of formats that no replica has read for a day.
   * @param read formats that living replicas read, besides this one's
   * @param now milliseconds since the epoch
   */
  async keepFormats(read: ReadonlySet<string>, now: number): Promise<void> {
    const kept = [...read, this.#format];
    await this.#database.transaction('write', async (query) => {
      await query(
        `UPDATE publication SET unread_since = CASE WHEN format = ANY($1) THEN NULL ELSE $2::bigint END
         WHERE (unread_since IS NULL) <> (format = ANY($1))`,
        [kept, now],
      );
      const gone = await query<{ chunks: Buffer }>('DELETE FROM publication WHERE unread_since < $1 RETURNING chunks', [
        now - KEEP_UNREAD_FOR,
      ]);
      await query(
        'DELETE FROM apps WHERE format <> ALL($1) AND NOT EXISTS (SELECT FROM publication WHERE publication.format = apps.format)',
        [kept],
      );
      await release(query, gone);
    });
  }

  async clean({ named, chunksBefore, pngsBefore = 0, now }: Parameters<Publications['clean']>[0]): Promise<void> {
    await this.#database.transaction('write', async (query) => {
      await query('DELETE FROM chunk WHERE unnamed_since < $1', [chunksBefore]);
      if (named === undefined) return;
      for (let last = ''; ;) {
        const rows = await query<{ digest: Digest; unnamed_since: string | null }>(
          'SELECT digest, unnamed_since FROM png WHERE digest > $1 ORDER BY digest LIMIT $2',
          [last, BATCH],
        );
        const used = rows.filter(({ digest, unnamed_since: since }) => since !== null && named(digest));
        const unused = rows.filter(({ digest, unnamed_since: since }) => since === null && !named(digest));
        if (used.length > 0)
          await query('UPDATE png SET unnamed_since = NULL WHERE digest = ANY($1)', [used.map(({ digest }) => digest)]);
        if (unused.length > 0)
          await query('UPDATE png SET unnamed_since = $2 WHERE digest = ANY($1)', [
            unused.map(({ digest }) => digest),
            now,
          ]);
        if (rows.length < BATCH) break;
        last = rows.at(-1)?.digest ?? '';
      }
      await query('DELETE FROM png WHERE unnamed_since < $1', [pngsBefore]);
    });
  }

  async close(): Promise<void> {
    await this.#database.close();
  }

  #mismatch(what: string): StoreError {
    return StoreError.of('corrupt', this.#database.name, `the checksum of ${what} does not match`);
  }
}

/** Versions of what is published of an index. */
export interface PublishedVersion {
  readonly version: number;
  /** Version of the publication that the list of its apps was made from; `undefined` before the first list. */
  readonly apps: number | undefined;
}

type PublicationRow = {
  readonly version: string;
  readonly registry: string;
  readonly modified: string;
  readonly chunks: Buffer;
  readonly origin: string;
  readonly checksum: string;
};

/** SQL that says whether a publication names the chunk in `column`: its names stand in one `bytea`, 32 bytes each. */
function isNamed(column: string): string {
  return `EXISTS (SELECT FROM publication, generate_series(1, length(chunks), ${NAME_BYTES}) AS place WHERE substr(chunks, place, ${NAME_BYTES}) = ${column})`;
}

/**
 * @param unnamedSince SQL
 * @param update what is set of one that is there already, which stays as it is unless given
 */
async function putChunks(
  query: RunQuery,
  chunks: readonly StoredChunk[],
  unnamedSince: string,
  update?: string,
): Promise<void> {
  const unique = [...new Map(chunks.map((chunk) => [chunk.name, chunk])).values()];
  await query(
    `INSERT INTO chunk (name, head, body, unnamed_since)
     SELECT name, head, body, ${unnamedSince} FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS now (name, head, body)
     ON CONFLICT (name) DO ${update === undefined ? 'NOTHING' : `UPDATE SET ${update}`}`,
    [unique.map(({ name }) => nameBytes([name])), unique.map(({ head }) => head), unique.map(({ body }) => body)],
  );
}

/**
 * Starts the time after which chunks are removed that no publication names.
 * @param gone publications that were replaced or removed
 * @param kept names of the next one's chunks
 */
async function release(
  query: RunQuery,
  gone: readonly { readonly chunks: Uint8Array }[],
  kept: ReadonlySet<string> = new Set(),
): Promise<void> {
  const names = [...new Set(gone.flatMap(({ chunks }) => namesIn(chunks)))].filter((name) => !kept.has(name));
  if (names.length > 0)
    await query(
      `UPDATE chunk SET unnamed_since = $2 WHERE name = ANY($1) AND unnamed_since IS NULL AND NOT ${isNamed('name')}`,
      [names.map((name) => nameBytes([name])), Date.now()],
    );
}
