/** The blobs in one SQLite file. */
import type { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { Digest } from '../../registry/digest.ts';
import { messageOf } from '../../system/message-of.ts';
import { type BlobKind, BlobMissing, type BlobName, type BlobReader, type Blobs } from '../blobs.ts';
import { StoreError } from '../store-error.ts';
import { BLOBS_SCHEMA } from './blobs-schema.ts';
import { boundLog, openDatabase, openForReading, SqliteFile } from './database.ts';

/** Pages that are given back to the disk in one transaction. */
const PAGES_AT_ONCE = 1_000;

/** Reads blobs beside the writing connection, one statement at a time. */
export class SqliteBlobReader extends SqliteFile implements BlobReader {
  readonly #statements: ReadStatements;

  protected constructor(file: string, database: DatabaseSync) {
    super(file, database);
    this.#statements = prepareReading(database);
  }

  /**
   * Opens the blobs in `file` read-only.
   * @throws StoreError if the file is missing or cannot be read
   */
  static openForReading(file: string): SqliteBlobReader {
    const database = openForReading(file);
    try {
      return new SqliteBlobReader(file, database);
    } catch (error) {
      database.close();
      throw StoreError.of('unavailable', file, messageOf(error), { cause: error });
    }
  }

  async size({ kind, digest }: BlobName): Promise<number | undefined> {
    return this.guard(() => {
      const size = this.#statements.size.get(kind, digest)?.['size'];
      return typeof size === 'number' ? size : undefined;
    });
  }

  async piece({ kind, digest }: BlobName, position: number): Promise<Buffer | undefined> {
    return this.guard(() => {
      const row = this.#statements.piece.get(kind, digest, position) as PieceRow | undefined;
      if (row === undefined || crc32(row.bytes) !== row.checksum) return undefined;
      return Buffer.from(row.bytes.buffer, row.bytes.byteOffset, row.bytes.byteLength);
    });
  }
}

/** {@link Blobs} with one writer: this object. */
export class SqliteBlobs extends SqliteBlobReader implements Blobs {
  readonly #statements: WriteStatements;

  private constructor(file: string, database: DatabaseSync) {
    super(file, database);
    this.#statements = prepareWriting(database);
  }

  /**
   * Opens the blobs in `file`, or creates it; see {@link openDatabase}.
   * @throws StoreError if it can be neither opened nor created
   */
  static open(file: string, onWarning: (warning: string) => void): SqliteBlobs {
    return new SqliteBlobs(file, openDatabase(file, BLOBS_SCHEMA, onWarning));
  }

  async putPiece({ kind, digest }: BlobName, position: number, bytes: Uint8Array, now: number): Promise<void> {
    this.transaction(() => {
      this.#statements.begin.run(kind, digest, now);
      this.#statements.putPiece.run(kind, digest, position, crc32(bytes), bytes);
    });
  }

  async complete(blob: BlobName, size: number): Promise<void> {
    const { kind, digest } = blob;
    // Otherwise the name of a blob might be on disk before it, and survive a power cut alone.
    this.guard(() => this.database.exec('PRAGMA synchronous = FULL'));
    try {
      this.transaction(() => {
        if (Number(this.#statements.written.get(kind, digest)?.['bytes']) !== size) throw new BlobMissing(blob);
        this.#statements.complete.run(kind, digest, size);
      });
    } finally {
      this.guard(() => this.database.exec('PRAGMA synchronous = NORMAL'));
    }
  }

  async stored(kind: BlobKind): Promise<number> {
    return this.guard(() => Number(this.#statements.stored.get(kind)?.['bytes']));
  }

  async whole(kind: BlobKind): Promise<ReadonlySet<Digest>> {
    return this.guard(
      () => new Set((this.#statements.whole.all(kind) as { digest: Digest }[]).map(({ digest }) => digest)),
    );
  }

  async remove({ kind, digest }: BlobName): Promise<void> {
    const { release, pieces, removePiece, removeBlob } = this.#statements;
    this.guard(() => release.run(kind, digest));
    // Each in a transaction of its own: one with hundreds of pieces would hold up others.
    for (const { id } of this.guard(() => pieces.all(kind, digest)) as { id: number }[]) {
      this.transaction(() => removePiece.run(id));
      await setImmediate();
    }
    this.transaction(() => removeBlob.run(kind, digest));
  }

  async clean({ kind, named, before, now }: Parameters<Blobs['clean']>[0]): Promise<void> {
    const { blobs, name, unname, expired, freePages, vacuum } = this.#statements;
    const rows = this.guard(() => blobs.all(kind)) as BlobRow[];
    this.transaction(() => {
      for (const { digest, size, unnamed_since: since } of rows) {
        if (size !== null && named(digest) && since !== null) name.run(kind, digest);
        else if (!named(digest) && since === null) unname.run(now, kind, digest);
      }
    });
    for (const { digest } of this.guard(() => expired.all(kind, before)) as { digest: Digest }[])
      await this.remove({ kind, digest });
    for (let left = Number(this.guard(() => freePages.get())?.['freelist_count']); left > 0; left -= PAGES_AT_ONCE) {
      this.transaction(() => vacuum.all());
      await setImmediate();
    }
  }

  protected override transaction<T>(work: () => T): T {
    const result = super.transaction(work);
    this.guard(() => boundLog(this.database, this.file));
    return result;
  }
}

type BlobRow = { readonly digest: Digest; readonly size: number | null; readonly unnamed_since: number | null };
type PieceRow = { readonly checksum: number; readonly bytes: Uint8Array };
type ReadStatements = ReturnType<typeof prepareReading>;
type WriteStatements = ReturnType<typeof prepareWriting>;

function prepareReading(database: DatabaseSync) {
  return {
    size: database.prepare('SELECT size FROM blob WHERE kind = ? AND digest = ?'),
    piece: database.prepare('SELECT checksum, bytes FROM blob_piece WHERE kind = ? AND digest = ? AND position = ?'),
  };
}

function prepareWriting(database: DatabaseSync) {
  return {
    begin: database.prepare(
      'INSERT INTO blob (kind, digest, unnamed_since) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET unnamed_since = excluded.unnamed_since WHERE size IS NULL',
    ),
    putPiece: database.prepare(
      'INSERT OR REPLACE INTO blob_piece (kind, digest, position, checksum, bytes) VALUES (?, ?, ?, ?, ?)',
    ),
    complete: database.prepare(
      'INSERT INTO blob (kind, digest, size) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET size = excluded.size, unnamed_since = NULL',
    ),
    written: database.prepare(
      'SELECT coalesce(sum(length(bytes)), 0) AS bytes FROM blob_piece WHERE kind = ? AND digest = ?',
    ),
    stored: database.prepare('SELECT coalesce(sum(size), 0) AS bytes FROM blob WHERE kind = ?'),
    whole: database.prepare('SELECT digest FROM blob WHERE kind = ? AND size IS NOT NULL'),
    release: database.prepare('UPDATE blob SET size = NULL WHERE kind = ? AND digest = ?'),
    pieces: database.prepare('SELECT id FROM blob_piece WHERE kind = ? AND digest = ?'),
    removePiece: database.prepare('DELETE FROM blob_piece WHERE id = ?'),
    removeBlob: database.prepare('DELETE FROM blob WHERE kind = ? AND digest = ?'),
    blobs: database.prepare('SELECT digest, size, unnamed_since FROM blob WHERE kind = ?'),
    name: database.prepare('UPDATE blob SET unnamed_since = NULL WHERE kind = ? AND digest = ?'),
    unname: database.prepare('UPDATE blob SET unnamed_since = ? WHERE kind = ? AND digest = ?'),
    expired: database.prepare('SELECT digest FROM blob WHERE kind = ? AND unnamed_since < ?'),
    freePages: database.prepare('PRAGMA freelist_count'),
    vacuum: database.prepare(`PRAGMA incremental_vacuum(${PAGES_AT_ONCE})`),
  };
}
