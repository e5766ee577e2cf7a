/** The publications in PostgreSQL. */
import { hash } from 'node:crypto';
import { digestOf, matchesDigest, type Digest } from '../../registry/digest.ts';
import { checksumOf, NAME_BYTES, nameBytes, namesIn } from '../publication-row.ts';
import type { Publication, Publications, SideDocument, StoredChunk, StoredSegment } from '../publications.ts';
import { StoreError } from '../store-error.ts';
import type { PostgresDatabase, RunQuery } from './postgres-database.ts';

/** PNGs whose use is looked at together. */
const BATCH = 10_000;

/** {@link Publications} in a PostgreSQL database. */
export class PostgresPublications implements Publications {
  readonly #database: PostgresDatabase;

  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  async publication(index: string): Promise<Publication | undefined> {
    const [row] = await this.#database.query<PublicationRow>(
      'SELECT version, format, registry, modified, chunks, origin, checksum FROM publication WHERE "index" = $1',
      [index],
    );
    if (row === undefined) return undefined;
    const { format, registry, chunks, origin } = row;
    const read = { index, version: Number(row.version), format, registry, modified: Number(row.modified), origin };
    if (checksumOf(read, chunks) !== Number(row.checksum)) throw this.#mismatch(`the publication of ${index}`);
    return { ...read, chunks: namesIn(chunks) };
  }

  async published(): Promise<readonly string[]> {
    return (await this.#database.query<{ index: string }>('SELECT "index" FROM publication ORDER BY "index"')).map(
      ({ index }) => index,
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
      'SELECT version, digest, body FROM apps WHERE "index" = $1',
      [index],
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
      const [before] = await query<{ chunks: Buffer }>('SELECT chunks FROM publication WHERE "index" = $1', [index]);
      const namesBefore = new Set(before === undefined ? [] : namesIn(before.chunks));
      const names = new Set(chunks);
      if (added.length > 0) await putChunks(query, added, 'NULL');
      await query(
        `INSERT INTO publication ("index", version, format, registry, modified, chunks, origin, checksum) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT ("index") DO UPDATE SET version = excluded.version, format = excluded.format, registry = excluded.registry, modified = excluded.modified, chunks = excluded.chunks, origin = excluded.origin, checksum = excluded.checksum`,
        [index, version, format, registry, modified, chunkNames, origin, checksumOf(publication, chunkNames)],
      );
      const named = [...names].filter((name) => !namesBefore.has(name));
      if (named.length > 0)
        await query('UPDATE chunk SET unnamed_since = NULL WHERE name = ANY($1) AND unnamed_since IS NOT NULL', [
          named.map((name) => nameBytes([name])),
        ]);
      await release(
        query,
        [...namesBefore].filter((name) => !names.has(name)),
      );
    });
  }

  async putApps(index: string, { version, body }: SideDocument): Promise<void> {
    await this.#database.write(
      'INSERT INTO apps ("index", version, digest, body) VALUES ($1, $2, $3, $4) ON CONFLICT ("index") DO UPDATE SET version = excluded.version, digest = excluded.digest, body = excluded.body',
      [index, version, digestOf(body), body],
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
        'DELETE FROM publication WHERE "index" <> ALL($1) RETURNING chunks',
        [[...indexes]],
      );
      await query('DELETE FROM apps WHERE "index" <> ALL($1)', [[...indexes]]);
      await release(query, [...new Set(gone.flatMap(({ chunks }) => namesIn(chunks)))]);
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

type PublicationRow = {
  readonly version: string;
  readonly format: string;
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

/** Starts the time after which chunks are removed that no publication names. */
async function release(query: RunQuery, names: readonly string[]): Promise<void> {
  if (names.length > 0)
    await query(
      `UPDATE chunk SET unnamed_since = $2 WHERE name = ANY($1) AND unnamed_since IS NULL AND NOT ${isNamed('name')}`,
      [names.map((name) => nameBytes([name])), Date.now()],
    );
}
