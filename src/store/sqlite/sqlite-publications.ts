/** The publications in one SQLite file. */
import type { DatabaseSync } from 'node:sqlite';
import { hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { messageOf } from '../../system/message-of.ts';
import { digestOf, matchesDigest, type Digest } from '../../registry/digest.ts';
import { checksumOf, nameBytes, namesIn } from '../publication-row.ts';
import type {
  Publication,
  PublicationReader,
  Publications,
  SideDocument,
  StoredChunk,
  StoredSegment,
} from '../publications.ts';
import { StoreError } from '../store-error.ts';
import { boundLog, openCopy, openDatabase, openForReading, SqliteFile } from './database.ts';
import { PUBLICATIONS_SCHEMA } from './publications-schema.ts';

/** Chunks that are marked or removed in one transaction, which rewrites about 200 kB of each, and PNGs. */
const CHUNKS_AT_ONCE = 8;
const PNGS_AT_ONCE = 500;

/** Reads publications beside the writing connection, one statement at a time. */
export class SqlitePublicationReader extends SqliteFile implements PublicationReader {
  readonly #statements: ReadStatements;

  protected constructor(file: string, database: DatabaseSync) {
    super(file, database);
    this.#statements = prepareReading(database);
  }

  /**
   * Opens the publications in `file` read-only.
   * @throws StoreError if the file is missing or cannot be read
   */
  static openForReading(file: string): SqlitePublicationReader {
    const database = openForReading(file);
    try {
      return new SqlitePublicationReader(file, database);
    } catch (error) {
      database.close();
      throw StoreError.of('unavailable', file, messageOf(error), { cause: error });
    }
  }

  async publication(index: string): Promise<Publication | undefined> {
    return this.guard(() => {
      const row = this.#statements.publication.get(index) as PublicationRow | undefined;
      if (row === undefined) return undefined;
      const { version, format, registry, modified, chunks, origin, checksum } = row;
      if (checksumOf({ index, version, format, registry, modified, origin }, chunks) !== checksum)
        throw this.mismatch(`the publication of ${index}`);
      return { index, version, format, registry, modified, chunks: namesIn(chunks), origin };
    });
  }

  async chunkHeads(names: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
    return this.guard(() => {
      const found = new Map<string, Buffer>();
      for (const name of names) {
        const head = bufferOf(this.#statements.chunkHead.get(nameBytes([name]))?.['head']);
        if (head === undefined) continue;
        if (hash('sha256', head) !== name) throw this.mismatch(`the chunk ${name}`);
        found.set(name, head);
      }
      return found;
    });
  }

  async chunkSegment(name: string, { offset, length, sha256 }: StoredSegment): Promise<Buffer | undefined> {
    return this.guard(() => {
      const bytes = bufferOf(this.#statements.chunkSegment.get(offset + 1, length, nameBytes([name]))?.['bytes']);
      if (bytes !== undefined && hash('sha256', bytes) !== sha256) throw this.mismatch(`the chunk ${name}`);
      return bytes;
    });
  }

  async png(digest: Digest): Promise<Buffer | undefined> {
    return this.guard(() => {
      const bytes = bufferOf(this.#statements.png.get(digest)?.['bytes']);
      return bytes !== undefined && matchesDigest(bytes, digest) ? bytes : undefined;
    });
  }

  async apps(index: string): Promise<SideDocument | undefined> {
    return this.guard(() => {
      const row = this.#statements.apps.get(index) as { version: number; digest: Digest; body: Uint8Array } | undefined;
      const body = bufferOf(row?.body);
      return row !== undefined && body !== undefined && matchesDigest(body, row.digest)
        ? { version: row.version, body }
        : undefined;
    });
  }

  /** Creates the error for content that does not match its hash. */
  protected mismatch(what: string): StoreError {
    return StoreError.of('corrupt', this.file, `the checksum of ${what} does not match`);
  }
}

/** {@link Publications} with one writer: this object. */
export class SqlitePublications extends SqlitePublicationReader implements Publications {
  readonly #statements: WriteStatements;

  private constructor(file: string, database: DatabaseSync) {
    super(file, database);
    this.#statements = prepareWriting(database);
  }

  /**
   * Opens the publications in `file`, or creates it; see {@link openDatabase}.
   * @throws StoreError if it can be neither opened nor created
   */
  static open(file: string, onWarning: (warning: string) => void): SqlitePublications {
    const database = openDatabase(file, PUBLICATIONS_SCHEMA, onWarning);
    // A publication must be on disk before its dirty marks are cleared in the catalog, or a power cut would lose the
    // change.
    database.exec('PRAGMA synchronous = FULL');
    return new SqlitePublications(file, database);
  }

  /**
   * Opens a copy of publications of one format, or creates it; see {@link openCopy}. Publications of another format,
   * which another version of the program left, are removed.
   * @throws StoreError if it can be neither opened nor created
   */
  static openCopy(file: string, format: string, onWarning: (warning: string) => void): SqlitePublications {
    const database = openCopy(file, PUBLICATIONS_SCHEMA, onWarning);
    try {
      const publications = new SqlitePublications(file, database);
      if (publications.#statements.otherFormat.get(format) !== undefined) publications.#keepIndexes(new Set());
      return publications;
    } catch (error) {
      database.close();
      throw StoreError.fromSqlite(error, file);
    }
  }

  async published(): Promise<readonly string[]> {
    return this.#published();
  }

  /** Returns those of these chunks that are not stored, or may be removed soon. */
  async missingChunks(names: readonly string[]): Promise<readonly string[]> {
    return this.guard(() => names.filter((name) => this.#statements.hasChunk.get(nameBytes([name])) === undefined));
  }

  async newestVersion(index: string): Promise<number> {
    return this.guard(() => Number(this.#statements.newestVersion.get(index)?.['version'] ?? 0));
  }

  async putChunks(chunks: readonly StoredChunk[]): Promise<void> {
    this.transaction(() => this.#putChunks(chunks));
  }

  async publish({ chunks, ...publication }: Publication, added: readonly StoredChunk[]): Promise<void> {
    const { index, version, format, registry, modified, origin } = publication;
    const names = nameBytes(chunks);
    this.transaction(() => {
      this.#putChunks(added);
      const checksum = checksumOf(publication, names);
      this.#statements.putPublication.run(index, version, format, registry, modified, names, origin, checksum);
    });
  }

  async putApps(index: string, { version, body }: SideDocument): Promise<void> {
    this.transaction(() => {
      this.#statements.putApps.run(index, version, digestOf(body), body);
    });
  }

  async putPngs(pngs: ReadonlyMap<Digest, Uint8Array>): Promise<void> {
    if (pngs.size === 0) return;
    this.transaction(() => {
      for (const [digest, bytes] of pngs) this.#statements.putPng.run(digest, bytes);
    });
  }

  async missingPngs(digests: readonly Digest[]): Promise<readonly Digest[]> {
    return this.guard(() => digests.filter((digest) => this.#statements.hasPng.get(digest) === undefined));
  }

  async keepIndexes(indexes: ReadonlySet<string>): Promise<void> {
    this.#keepIndexes(indexes);
  }

  #keepIndexes(indexes: ReadonlySet<string>): void {
    const gone = this.#published().filter((index) => !indexes.has(index));
    if (gone.length === 0) return;
    this.transaction(() => {
      for (const index of gone) {
        this.#statements.removePublication.run(index);
        this.#statements.removeApps.run(index);
      }
    });
  }

  async clean({ named, chunksBefore, pngsBefore = 0, now }: Parameters<Publications['clean']>[0]): Promise<void> {
    const { chunks, nameChunk, releaseChunk, removeChunk, pngsAfter, namePng, releasePng, removePng } =
      this.#statements;
    const published = this.#publishedChunks();
    const changing = (this.guard(() => chunks.all()) as ChunkRow[]).filter(
      ({ name, unnamed_since: since }) =>
        published.has(hexOf(name)) !== (since === null) || (since !== null && since < chunksBefore),
    );
    for (let start = 0; start < changing.length; start += CHUNKS_AT_ONCE) {
      // Between two batches, publications may be replaced, and chunks stored again.
      const publishedNow = this.#publishedChunks();
      this.transaction(() => {
        for (const { id, name } of changing.slice(start, start + CHUNKS_AT_ONCE)) {
          if (publishedNow.has(hexOf(name))) nameChunk.run(id);
          else {
            releaseChunk.run(now, id);
            removeChunk.run(id, chunksBefore);
          }
        }
      });
      await setImmediate();
    }
    if (named === undefined) return;
    for (let last = ''; ;) {
      const pngs = this.guard(() => pngsAfter.all(last, PNGS_AT_ONCE)) as PngRow[];
      this.transaction(() => {
        for (const { digest, unnamed_since: since } of pngs) {
          if (named(digest)) {
            if (since !== null) namePng.run(digest);
          } else {
            if (since === null) releasePng.run(now, digest);
            removePng.run(digest, pngsBefore);
          }
        }
      });
      if (pngs.length < PNGS_AT_ONCE) return;
      last = pngs.at(-1)?.digest ?? '';
      await setImmediate();
    }
  }

  #published(): readonly string[] {
    return this.guard(() => this.#statements.published.all().map((row) => String(row['index'])));
  }

  #putChunks(chunks: readonly StoredChunk[]): void {
    for (const { name, head, body } of chunks) this.#statements.putChunk.run(nameBytes([name]), head, body);
  }

  /** Returns the names of all chunks that a publication names. */
  #publishedChunks(): ReadonlySet<string> {
    const rows = this.guard(() => this.#statements.chunksOfAll.all()) as Pick<PublicationRow, 'chunks'>[];
    return new Set(rows.flatMap(({ chunks }) => namesIn(chunks)));
  }

  protected override transaction<T>(work: () => T): T {
    const result = super.transaction(work);
    this.guard(() => boundLog(this.database, this.file));
    return result;
  }
}

type PublicationRow = {
  readonly version: number;
  readonly format: string;
  readonly registry: string;
  readonly modified: number;
  readonly chunks: Uint8Array;
  readonly origin: string;
  readonly checksum: number;
};
type ChunkRow = { readonly id: number; readonly name: Uint8Array; readonly unnamed_since: number | null };
type PngRow = { readonly digest: Digest; readonly unnamed_since: number | null };
type ReadStatements = ReturnType<typeof prepareReading>;
type WriteStatements = ReturnType<typeof prepareWriting>;

function prepareReading(database: DatabaseSync) {
  return {
    publication: database.prepare(
      'SELECT version, format, registry, modified, chunks, origin, checksum FROM publication WHERE "index" = ?',
    ),
    chunkHead: database.prepare('SELECT head FROM chunk WHERE name = ?'),
    chunkSegment: database.prepare('SELECT substr(body, ?, ?) AS bytes FROM chunk WHERE name = ?'),
    png: database.prepare('SELECT bytes FROM png WHERE digest = ?'),
    apps: database.prepare('SELECT version, digest, body FROM apps WHERE "index" = ?'),
  };
}

function prepareWriting(database: DatabaseSync) {
  return {
    otherFormat: database.prepare('SELECT 1 FROM publication WHERE format <> ?'),
    published: database.prepare('SELECT "index" FROM publication ORDER BY "index"'),
    newestVersion: database.prepare('SELECT version FROM publication WHERE "index" = ?'),
    chunksOfAll: database.prepare('SELECT chunks FROM publication'),
    putPublication: database.prepare(
      'INSERT OR REPLACE INTO publication ("index", version, format, registry, modified, chunks, origin, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ),
    removePublication: database.prepare('DELETE FROM publication WHERE "index" = ?'),
    putChunk: database.prepare(
      'INSERT INTO chunk (name, head, body) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET unnamed_since = NULL WHERE unnamed_since IS NOT NULL',
    ),
    hasChunk: database.prepare('SELECT 1 FROM chunk WHERE name = ? AND unnamed_since IS NULL'),
    chunks: database.prepare('SELECT id, name, unnamed_since FROM chunk'),
    nameChunk: database.prepare('UPDATE chunk SET unnamed_since = NULL WHERE id = ?'),
    releaseChunk: database.prepare('UPDATE chunk SET unnamed_since = ? WHERE id = ? AND unnamed_since IS NULL'),
    removeChunk: database.prepare('DELETE FROM chunk WHERE id = ? AND unnamed_since < ?'),
    putApps: database.prepare('INSERT OR REPLACE INTO apps ("index", version, digest, body) VALUES (?, ?, ?, ?)'),
    removeApps: database.prepare('DELETE FROM apps WHERE "index" = ?'),
    putPng: database.prepare(
      'INSERT INTO png (digest, bytes) VALUES (?, ?) ON CONFLICT DO UPDATE SET unnamed_since = NULL, bytes = excluded.bytes',
    ),
    hasPng: database.prepare('SELECT 1 FROM png WHERE digest = ?'),
    pngsAfter: database.prepare('SELECT digest, unnamed_since FROM png WHERE digest > ? ORDER BY digest LIMIT ?'),
    namePng: database.prepare('UPDATE png SET unnamed_since = NULL WHERE digest = ?'),
    releasePng: database.prepare('UPDATE png SET unnamed_since = ? WHERE digest = ?'),
    removePng: database.prepare('DELETE FROM png WHERE digest = ? AND unnamed_since < ?'),
  };
}

function bufferOf(bytes: unknown): Buffer | undefined {
  return bytes instanceof Uint8Array ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : undefined;
}

function hexOf(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('hex');
}
