/** The publications in PostgreSQL. */
import { hash } from 'node:crypto';
import { digestOf, matchesDigest, type Digest } from '../../registry/digest.ts';
import { checksumOf, NAME_BYTES, nameBytes, namesIn } from '../publication-row.ts';
import type { Publication, Publications, SideDocument, StoredChunk, StoredSegment } from '../publications.ts';
import { StoreError } from '../store-error.ts';
import { CHANNEL } from './channel.ts';
import { applyChange, changeBetween, type ChunkChange } from './chunk-change.ts';
import { namesOf, partsOf } from './document-parts.ts';
import type { PostgresDatabase, RunQuery } from './postgres-database.ts';
import { LIVES } from './replicas.ts';

/** Chunks that are removed in one transaction, and PNGs that are looked at or removed in one. */
const CHUNKS_AT_ONCE = 100;
const PNGS_AT_ONCE = 1_000;

/** How long publications stay that no replica reads any more, in milliseconds. */
const KEEP_UNREAD_FOR = 86_400_000;

/** SQL for `WITH`: the names of all chunks that a publication of any format names, in one pass. */
const NAMED = `named AS MATERIALIZED (
  SELECT DISTINCT substr(chunks, place, ${NAME_BYTES}) AS name
  FROM publication, generate_series(1, length(chunks), ${NAME_BYTES}) AS place
)`;

/** {@link Publications} of one format in a PostgreSQL database, which may hold those of other formats, too. */
export class PostgresPublications implements Publications {
  readonly #database: PostgresDatabase;
  readonly #format: string;
  readonly #keepUnreadFor: number;
  /** Last publications, by index. */
  readonly #published = new Map<string, Pick<Publication, 'version' | 'chunks'>>();

  /** @param keepUnreadFor how long publications stay that no replica reads any more, in milliseconds; a day by default */
  constructor(database: PostgresDatabase, format: string, keepUnreadFor = KEEP_UNREAD_FOR) {
    this.#database = database;
    this.#format = format;
    this.#keepUnreadFor = keepUnreadFor;
  }

  /** @param known returned if it is still the newest; from the one before, only the change is transferred */
  async publication(index: string, known?: Publication): Promise<Publication | undefined> {
    const [row] = await this.#database.query<PublicationRow>(
      `SELECT version, registry, modified, origin, checksum,
         CASE WHEN version <> $3 AND changed_from = $3 THEN change END AS change,
         CASE WHEN (version = $3 OR changed_from = $3) IS NOT TRUE THEN encode(chunks, 'base64') END AS chunks
       FROM publication WHERE "index" = $1 AND format = $2`,
      [index, this.#format, known?.version],
    );
    if (row === undefined) return undefined;
    const read = {
      index,
      version: Number(row.version),
      format: this.#format,
      registry: row.registry,
      modified: Number(row.modified),
      origin: row.origin,
    };
    if (known?.version === read.version) return known;
    const chunks =
      row.chunks === null
        ? applyChange(known?.chunks ?? [], row.change ?? { start: 0, removed: 0, added: [] })
        : namesIn(decoded(row.chunks));
    if (checksumOf(read, nameBytes(chunks)) === Number(row.checksum)) return { ...read, chunks };
    if (row.chunks === null) return this.publication(index);
    throw this.#mismatch(`the publication of ${index}`);
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
    const rows = await this.#database.query<{ name: Buffer; head: string }>(
      `SELECT name, ${encoded('head')} FROM chunk WHERE name = ANY($1)`,
      [names.map((name) => nameBytes([name]))],
    );
    return new Map(
      rows.map((row) => {
        const head = decoded(row.head);
        return [this.#checkedName(row.name, head), head];
      }),
    );
  }

  /** Returns whole chunks, of which only the heads are checked; removed ones are left out. */
  async chunks(names: readonly string[]): Promise<readonly StoredChunk[]> {
    const rows = await this.#database.query<{ name: Buffer; head: string; body: string }>(
      `SELECT name, ${encoded('head')}, ${encoded('body')} FROM chunk WHERE name = ANY($1)`,
      [names.map((name) => nameBytes([name]))],
    );
    return rows.map(({ name, ...its }) => {
      const [head, body] = [decoded(its.head), decoded(its.body)];
      return { name: this.#checkedName(name, head), head, body };
    });
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
    const [row] = await this.#database.query<{ bytes: string }>(
      `SELECT ${encoded('bytes')} FROM png WHERE digest = $1`,
      [digest],
    );
    const bytes = row && decoded(row.bytes);
    return bytes !== undefined && matchesDigest(bytes, digest) ? bytes : undefined;
  }

  /** @param known returned if it is still the newest; parts that it has are not transferred again */
  async apps(index: string, known?: SideDocument): Promise<SideDocument | undefined> {
    const parts = new Map(known && partsOf(known.body).map(({ name, bytes }) => [name, bytes]));
    const [[row], added] = await this.#database.atOnce('snapshot', (query) =>
      Promise.all([
        query<{ version: string; digest: Digest; parts: string | null }>(
          `SELECT version, digest, CASE WHEN digest IS DISTINCT FROM $3 THEN encode(parts, 'base64') END AS parts
           FROM apps WHERE "index" = $1 AND format = $2`,
          [index, this.#format, known && digestOf(known.body)],
        ),
        query<{ name: Buffer; bytes: string }>(
          `SELECT name, ${encoded('bytes')} FROM apps_part WHERE "index" = $1 AND format = $2 AND name NOT IN (${namesOf('$3')})`,
          [index, this.#format, nameBytes([...parts.keys()])],
        ),
      ]),
    );
    if (row === undefined) return undefined;
    const version = Number(row.version);
    if (row.parts === null) return known?.version === version ? known : known && { ...known, version };
    for (const { name, bytes } of added) parts.set(name.toString('hex'), decoded(bytes));
    const body = Buffer.concat(namesIn(decoded(row.parts)).flatMap((name) => parts.get(name) ?? []));
    return matchesDigest(body, row.digest) ? { version, body } : undefined;
  }

  async putChunks(chunks: readonly StoredChunk[]): Promise<void> {
    if (chunks.length > 0) await this.#database.atOnce('write', (query) => putChunks(query, chunks));
  }

  async publish({ chunks, ...publication }: Publication, added: readonly StoredChunk[]): Promise<void> {
    const { index, version, format, registry, modified, origin } = publication;
    const names = nameBytes(chunks);
    const before = this.#published.get(index);
    const change = before && JSON.stringify(changeBetween(before.chunks, chunks));
    const isShort = change !== undefined && change.length < names.length;
    await this.#database.atOnce('write', (query) =>
      Promise.all([
        added.length > 0 && putChunks(query, added),
        query(
          `WITH put AS (
             INSERT INTO publication ("index", version, format, registry, modified, chunks, origin, checksum) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT ("index", format) DO UPDATE SET version = excluded.version, registry = excluded.registry, modified = excluded.modified, chunks = excluded.chunks, origin = excluded.origin, checksum = excluded.checksum,
               changed_from = CASE WHEN publication.version = $10 THEN $10 END, change = CASE WHEN publication.version = $10 THEN $11::json END
             RETURNING 1
           )
           SELECT pg_notify('${CHANNEL}', $9) FROM put`,
          [
            index,
            version,
            format,
            registry,
            modified,
            names,
            origin,
            checksumOf(publication, names),
            notificationOf({ published: index, document: 'index', format, version }),
            isShort ? before?.version : null,
            isShort ? change : null,
          ],
        ),
      ]),
    );
    this.#published.set(index, { version, chunks });
  }

  async putApps(index: string, { version, body }: SideDocument): Promise<void> {
    const parts = partsOf(body);
    await this.#database.transaction('write', async (query) => {
      const stored = await query<{ name: Buffer; sound: boolean }>(
        'SELECT name, name = sha256(bytes) AS sound FROM apps_part WHERE "index" = $1 AND format = $2',
        [index, this.#format],
      );
      const before = new Map(stored.map(({ name, sound }) => [name.toString('hex'), sound]));
      const added = new Map(
        parts.filter(({ name }) => before.get(name) !== true).map(({ name, bytes }) => [name, bytes]),
      );
      const kept = new Set(parts.map(({ name }) => name));
      const gone = [...before.keys()].filter((name) => !kept.has(name));
      await Promise.all([
        query(
          `WITH put AS (
             INSERT INTO apps ("index", format, version, digest, parts) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT ("index", format) DO UPDATE SET version = excluded.version, digest = excluded.digest, parts = excluded.parts
             RETURNING 1
           )
           SELECT pg_notify('${CHANNEL}', $6) FROM put`,
          [
            index,
            this.#format,
            version,
            digestOf(body),
            nameBytes(parts.map(({ name }) => name)),
            notificationOf({ published: index, document: 'apps', format: this.#format, version }),
          ],
        ),
        query(
          `INSERT INTO apps_part ("index", format, name, bytes) SELECT $1, $2, * FROM unnest($3::bytea[], $4::bytea[])
           ON CONFLICT ("index", format, name) DO UPDATE SET bytes = excluded.bytes`,
          [index, this.#format, [...added.keys()].map((name) => nameBytes([name])), [...added.values()]],
        ),
        query(`DELETE FROM apps_part WHERE "index" = $1 AND format = $2 AND name IN (${namesOf('$3')})`, [
          index,
          this.#format,
          nameBytes(gone),
        ]),
      ]);
    });
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

  /**
   * Removes the indexes that are not among these, and that no living replica has served for a day: one with another
   * configuration may restart, and needs them then.
   * @param now milliseconds since the epoch
   */
  async keepIndexes(indexes: ReadonlySet<string>, now: number = Date.now()): Promise<void> {
    await this.#database.atOnce('write', (query) =>
      Promise.all([
        query(
          `WITH read AS (
             SELECT unnest($2::text[]) COLLATE "C" AS name UNION SELECT json_object_keys(shown) COLLATE "C" FROM replica WHERE ${LIVES}
           )
           UPDATE publication SET unread_since = CASE WHEN "index" IN (SELECT name FROM read) THEN NULL ELSE $3::bigint END
           WHERE format = $1 AND (unread_since IS NULL) <> ("index" IN (SELECT name FROM read))`,
          [this.#format, [...indexes], now],
        ),
        query('DELETE FROM publication WHERE format = $1 AND unread_since <= $2', [
          this.#format,
          now - this.#keepUnreadFor,
        ]),
        query(
          'DELETE FROM apps WHERE format = $1 AND "index" NOT IN (SELECT "index" FROM publication WHERE format = $1)',
          [this.#format],
        ),
      ]),
    );
  }

  async newestVersion(index: string): Promise<number> {
    const [row] = await this.#database.query<{ version: string | null }>(
      'SELECT max(version) AS version FROM publication WHERE "index" = $1',
      [index],
    );
    return Number(row?.version ?? 0);
  }

  /**
   * Removes the publications of other formats that no replica has read for a day.
   * @param read formats that living replicas read
   * @param now milliseconds since the epoch
   */
  async keepFormats(read: ReadonlySet<string>, now: number): Promise<void> {
    const kept = [...read, this.#format];
    await this.#database.atOnce('write', (query) =>
      Promise.all([
        query(
          `UPDATE publication SET unread_since = CASE WHEN format = ANY($1) THEN NULL ELSE $2::bigint END
           WHERE format <> $3 AND (unread_since IS NULL) <> (format = ANY($1))`,
          [kept, now, this.#format],
        ),
        query('DELETE FROM publication WHERE format <> $1 AND unread_since <= $2', [
          this.#format,
          now - this.#keepUnreadFor,
        ]),
        query(
          'DELETE FROM apps WHERE format <> ALL($1) AND NOT EXISTS (SELECT FROM publication WHERE publication.format = apps.format)',
          [kept],
        ),
      ]),
    );
  }

  async clean({ named, chunksBefore, pngsBefore = 0, now }: Parameters<Publications['clean']>[0]): Promise<void> {
    await this.#database.write(
      `WITH ${NAMED}, changed AS (
         SELECT chunk.name, CASE WHEN named.name IS NULL THEN $1::bigint END AS since FROM chunk LEFT JOIN named USING (name)
         WHERE (unnamed_since IS NULL) <> (named.name IS NOT NULL)
       )
       UPDATE chunk SET unnamed_since = since FROM changed WHERE chunk.name = changed.name`,
      [now],
    );
    await this.#inBatches(CHUNKS_AT_ONCE, (query) =>
      query(
        'DELETE FROM chunk WHERE unnamed_since < $1 AND name IN (SELECT name FROM chunk WHERE unnamed_since < $1 LIMIT $2) RETURNING 1',
        [chunksBefore, CHUNKS_AT_ONCE],
      ),
    );
    if (named === undefined) return;
    let last = '';
    await this.#inBatches(PNGS_AT_ONCE, async (query) => {
      const pngs = await query<{ digest: Digest; unnamed_since: string | null }>(
        'SELECT digest, unnamed_since FROM png WHERE digest > $1 ORDER BY digest LIMIT $2',
        [last, PNGS_AT_ONCE],
      );
      const used = pngs.filter(({ digest, unnamed_since: since }) => since !== null && named(digest));
      const unused = pngs.filter(({ digest, unnamed_since: since }) => since === null && !named(digest));
      if (used.length > 0)
        await query('UPDATE png SET unnamed_since = NULL WHERE digest = ANY($1)', [used.map(({ digest }) => digest)]);
      if (unused.length > 0)
        await query('UPDATE png SET unnamed_since = $2 WHERE digest = ANY($1)', [
          unused.map(({ digest }) => digest),
          now,
        ]);
      last = pngs.at(-1)?.digest ?? last;
      return pngs;
    });
    await this.#inBatches(PNGS_AT_ONCE, (query) =>
      query(
        'DELETE FROM png WHERE unnamed_since < $1 AND digest IN (SELECT digest FROM png WHERE unnamed_since < $1 LIMIT $2) RETURNING 1',
        [pngsBefore, PNGS_AT_ONCE],
      ),
    );
  }

  /**
   * Removes what may be damaged: the publications and lists of apps of this format with their chunks, which have to be
   * rendered again, and PNGs that do not match their digests, whose images have to be read again.
   */
  async discard(): Promise<void> {
    await this.#database.transaction('write', async (query) => {
      await query('DELETE FROM publication WHERE format = $1', [this.#format]);
      await query('DELETE FROM apps WHERE format = $1', [this.#format]);
      await query(`WITH ${NAMED} DELETE FROM chunk WHERE NOT EXISTS (SELECT FROM named WHERE named.name = chunk.name)`);
    });
    let last = '';
    await this.#inBatches(PNGS_AT_ONCE, async (query) => {
      const pngs = await query<{ digest: Digest }>(
        'SELECT digest FROM png WHERE digest > $1 ORDER BY digest LIMIT $2',
        [last, PNGS_AT_ONCE],
      );
      await query(`DELETE FROM png WHERE digest = ANY($1) AND digest <> 'sha256:' || encode(sha256(bytes), 'hex')`, [
        pngs.map(({ digest }) => digest),
      ]);
      last = pngs.at(-1)?.digest ?? last;
      return pngs;
    });
  }

  /** Repeats a transaction until it returns fewer than `size` rows: a long one would delay the next leader. */
  async #inBatches(size: number, run: (query: RunQuery) => Promise<readonly unknown[]>): Promise<void> {
    while ((await this.#database.transaction('write', run)).length === size);
  }

  async close(): Promise<void> {
    await this.#database.close();
  }

  #checkedName(name: Uint8Array, head: Buffer): string {
    const [text = ''] = namesIn(name);
    if (hash('sha256', head) !== text) throw this.#mismatch(`the chunk ${text}`);
    return text;
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

/** Payload of the notification on {@link CHANNEL} that something was published. */
export interface PublishedNotification extends Pick<Publication, 'format' | 'version'> {
  /** Name of the index. */
  readonly published: string;
  readonly document: 'index' | 'apps';
}

function notificationOf(notification: PublishedNotification): string {
  return JSON.stringify(notification);
}

type PublicationRow = {
  readonly version: string;
  readonly registry: string;
  readonly modified: string;
  readonly chunks: string | null;
  readonly change: ChunkChange | null;
  readonly origin: string;
  readonly checksum: string;
};

/** SQL: a column of bytes, as {@link decoded} takes it. By default, bytes are sent as text that is twice as long. */
function encoded(column: string): string {
  return `encode(${column}, 'base64') AS ${column}`;
}

function decoded(base64: string): Buffer {
  return Buffer.from(base64, 'base64');
}

async function putChunks(query: RunQuery, chunks: readonly StoredChunk[]): Promise<void> {
  const unique = [...new Map(chunks.map((chunk) => [chunk.name, chunk])).values()];
  // Each in a parameter of its own: bytes in an array are sent as text, twice as long.
  const rows = unique.map((_, row) => `($${3 * row + 1}, $${3 * row + 2}, $${3 * row + 3})`);
  await query(
    `INSERT INTO chunk (name, head, body) VALUES ${rows.join()}
     ON CONFLICT (name) DO UPDATE SET unnamed_since = NULL, head = excluded.head, body = excluded.body
     WHERE chunk.unnamed_since IS NOT NULL OR chunk.head <> excluded.head OR chunk.body <> excluded.body`,
    unique.flatMap(({ name, head, body }) => [nameBytes([name]), head, body]),
  );
}
