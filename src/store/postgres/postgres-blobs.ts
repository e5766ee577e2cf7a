/** The blobs in PostgreSQL. */
import { crc32 } from 'node:zlib';
import type { Digest } from '../../registry/digest.ts';
import { type BlobKind, BlobMissing, type BlobName, type Blobs } from '../blobs.ts';
import type { PostgresDatabase } from './postgres-database.ts';

/** Pieces that are removed in one transaction. */
const PIECES_AT_ONCE = 16;

/** {@link Blobs} in a PostgreSQL database. */
export class PostgresBlobs implements Blobs {
  readonly #database: PostgresDatabase;

  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  async size({ kind, digest }: BlobName): Promise<number | undefined> {
    const [row] = await this.#database.query<{ size: string | null }>(
      'SELECT size FROM blob WHERE kind = $1 AND digest = $2',
      [kind, digest],
    );
    return row === undefined || row.size === null ? undefined : Number(row.size);
  }

  async piece({ kind, digest }: BlobName, position: number): Promise<Buffer | undefined> {
    // As text in base64: by default, bytes are sent as text that is twice as long.
    const [row] = await this.#database.query<{ checksum: string; bytes: string }>(
      `SELECT checksum, encode(bytes, 'base64') AS bytes FROM blob_piece WHERE kind = $1 AND digest = $2 AND position = $3`,
      [kind, digest, position],
    );
    if (row === undefined) return undefined;
    const bytes = Buffer.from(row.bytes, 'base64');
    return crc32(bytes) === Number(row.checksum) ? bytes : undefined;
  }

  async putPiece({ kind, digest }: BlobName, position: number, bytes: Uint8Array, now: number): Promise<void> {
    await this.#database.atOnce('write', (query) =>
      Promise.all([
        query(
          `INSERT INTO blob (kind, digest, unnamed_since) VALUES ($1, $2, $3)
           ON CONFLICT (kind, digest) DO UPDATE SET unnamed_since = excluded.unnamed_since WHERE blob.size IS NULL`,
          [kind, digest, now],
        ),
        query(
          `INSERT INTO blob_piece (kind, digest, position, checksum, bytes) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (kind, digest, position) DO UPDATE SET checksum = excluded.checksum, bytes = excluded.bytes`,
          [kind, digest, position, crc32(bytes), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)],
        ),
      ]),
    );
  }

  async complete(blob: BlobName, size: number): Promise<void> {
    const { kind, digest } = blob;
    await this.#database.transaction('write', async (query) => {
      const completed = await query(
        `INSERT INTO blob (kind, digest, size)
         SELECT $1, $2, $3::bigint FROM (
           SELECT coalesce(sum(length(bytes)), 0) AS written FROM blob_piece WHERE kind = $1 AND digest = $2
         ) AS pieces WHERE written = $3::bigint
         ON CONFLICT (kind, digest) DO UPDATE SET size = excluded.size, unnamed_since = NULL RETURNING 1`,
        [kind, digest, size],
      );
      if (completed.length === 0) throw new BlobMissing(blob);
    });
  }

  async stored(kind: BlobKind): Promise<number> {
    const [row] = await this.#database.query<{ bytes: string }>(
      'SELECT coalesce(sum(size), 0) AS bytes FROM blob WHERE kind = $1',
      [kind],
    );
    return Number(row?.bytes);
  }

  async whole(kind: BlobKind): Promise<ReadonlySet<Digest>> {
    const rows = await this.#database.query<{ digest: Digest }>(
      'SELECT digest FROM blob WHERE kind = $1 AND size IS NOT NULL',
      [kind],
    );
    return new Set(digestsOf(rows));
  }

  async remove({ kind, digest }: BlobName): Promise<void> {
    await this.#database.write('UPDATE blob SET size = NULL WHERE kind = $1 AND digest = $2', [kind, digest]);
    // In short transactions: a long one would delay the next leader.
    for (let removed = PIECES_AT_ONCE; removed === PIECES_AT_ONCE;)
      removed = await this.#database.transaction('write', async (query) => {
        const rows = await query(
          `DELETE FROM blob_piece WHERE kind = $1 AND digest = $2 AND position IN (
             SELECT position FROM blob_piece WHERE kind = $1 AND digest = $2 LIMIT $3
           ) RETURNING 1`,
          [kind, digest, PIECES_AT_ONCE],
        );
        return rows.length;
      });
    await this.#database.write('DELETE FROM blob WHERE kind = $1 AND digest = $2', [kind, digest]);
  }

  async clean({ kind, named, before, now }: Parameters<Blobs['clean']>[0]): Promise<void> {
    const rows = await this.#database.query<{ digest: Digest; whole: boolean; unnamed: boolean }>(
      'SELECT digest, size IS NOT NULL AS whole, unnamed_since IS NOT NULL AS unnamed FROM blob WHERE kind = $1',
      [kind],
    );
    const used = rows.filter(({ digest, whole, unnamed }) => whole && unnamed && named(digest));
    const unused = rows.filter(({ digest, unnamed }) => !unnamed && !named(digest));
    if (used.length + unused.length > 0)
      await this.#database.atOnce('write', (query) =>
        Promise.all([
          query('UPDATE blob SET unnamed_since = NULL WHERE kind = $1 AND digest = ANY($2)', [kind, digestsOf(used)]),
          query('UPDATE blob SET unnamed_since = $3 WHERE kind = $1 AND digest = ANY($2)', [
            kind,
            digestsOf(unused),
            now,
          ]),
        ]),
      );
    const expired = await this.#database.query<{ digest: Digest }>(
      'SELECT digest FROM blob WHERE kind = $1 AND unnamed_since < $2',
      [kind, before],
    );
    for (const { digest } of expired) await this.remove({ kind, digest });
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

function digestsOf(rows: readonly { readonly digest: Digest }[]): readonly Digest[] {
  return rows.map(({ digest }) => digest);
}
