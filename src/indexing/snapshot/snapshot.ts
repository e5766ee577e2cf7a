/** Reads a snapshot: one state of one index, which never changes. */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { finished, Readable } from 'node:stream';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { AppVersions } from '../appdata/app-list.ts';
import type { ReadRange } from '../query/image-table.ts';
import { ImageTable } from '../query/image-table.ts';
import { countShared } from './counted.ts';
import type { Region, SnapshotFooter, StoredDocument } from './format.ts';
import { HASH_LENGTH, MAGIC, TRAILER_LENGTH } from './format.ts';
import { CHUNK_BYTES, readInto, readRegion, regionChunks } from './read-region.ts';
import { entityTag } from './region-writer.ts';

/** Snapshots up to so many bytes are held in memory whole; of larger ones each body is read when it is asked for. */
export const DEFAULT_MEMORY_LIMIT = 64 * 1024 * 1024;

/** A file that is no whole snapshot of this version. */
export class SnapshotError extends Error {
  override readonly name = 'SnapshotError';
}

/** A snapshot as it can be sent to another thread, which then reads from the same memory or file. */
export interface SharedSnapshot {
  readonly footer: SnapshotFooter;
  readonly path: string;
  readonly memory: SharedArrayBuffer | undefined;
}

export class Snapshot {
  readonly footer: SnapshotFooter;
  readonly #path: string;
  /** Open while bodies must be read from it. */
  readonly #file: FileHandle | undefined;
  /** The whole file, where it is held. Shared memory, so that several threads can serve from one copy. */
  readonly #memory: Buffer<SharedArrayBuffer> | undefined;
  #table: Promise<ImageTable> | undefined;
  #readers = 0;
  #closing = false;

  private constructor(footer: SnapshotFooter, path: string, file: FileHandle | undefined, memory: Buffer<SharedArrayBuffer> | undefined) {
    this.footer = footer;
    this.#path = path;
    this.#file = file;
    this.#memory = memory;
  }

  /**
   * Opens the snapshot at `path`. It stays readable when the file is replaced; {@link close} ends it.
   * @throws SnapshotError if the file is damaged, cut off or of another version; the system's error if it cannot be read.
   */
  static async open(path: string, memoryLimit: number = DEFAULT_MEMORY_LIMIT): Promise<Snapshot> {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      const footer = await readFooter(file, size, path);
      if (size > memoryLimit) return new Snapshot(footer, path, file, undefined);
      const memory = Buffer.from(countShared(new SharedArrayBuffer(size)));
      await readInto(file, memory, 0);
      await file.close();
      return new Snapshot(footer, path, undefined, memory);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * Reads all of it, a little at a time, and compares it with what was written.
   * @throws SnapshotError if something of it is damaged.
   */
  async verify(): Promise<void> {
    const { documents, apps, table, appVersions } = this.footer;
    const stored = [...Object.values(documents), apps].flatMap(({ representations }) => Object.values(representations));
    // Equal answers stand there once.
    const bodies = new Map([...stored, table, appVersions].map((body) => [body.offset, body]));
    const place = Buffer.allocUnsafe(CHUNK_BYTES);
    await this.reading(async () => {
      for (const body of bodies.values()) {
        const held = this.held(body);
        const hash = createHash('sha256');
        for await (const chunk of held ? [held] : regionChunks(this.#open(), body, place)) hash.update(chunk);
        if (entityTag(hash) !== body.etag) throw damaged(this.#path, `the ${body.length} bytes from ${body.offset} on are not what was written`);
      }
    });
  }

  /** Names the content: snapshots that have the same hold the same images and answer the same. */
  get etag(): string {
    return this.footer.documents['']?.representations.identity.etag ?? '';
  }

  /** For another thread to {@link openShared}. */
  share(): SharedSnapshot {
    return { footer: this.footer, path: this.#path, memory: this.#memory?.buffer };
  }

  /**
   * Opens what another thread has shared. Where it is read from the file, that may have been replaced by a newer one since:
   * then this is the newer one, whole.
   */
  static async openShared({ footer, path, memory }: SharedSnapshot): Promise<Snapshot> {
    return memory === undefined ? Snapshot.open(path, 0) : new Snapshot(footer, path, undefined, Buffer.from(countShared(memory)));
  }

  /** The document that answers a canonical query, if it is kept; the empty query is the whole index. */
  document(canonical: string): StoredDocument | undefined {
    return Object.hasOwn(this.footer.documents, canonical) ? this.footer.documents[canonical] : undefined;
  }

  /** A body at once, if it is in memory. */
  held({ offset, length }: Region): Buffer | undefined {
    return this.#memory?.subarray(offset, offset + length);
  }

  /** A body. */
  async read(region: Region): Promise<Buffer> {
    const held = this.held(region);
    if (held !== undefined) return held;
    const file = this.#open();
    return this.reading(() => readRegion(file, region));
  }

  /** A body as a stream that holds little of it in memory. */
  stream(region: Region): Readable {
    const held = this.held(region);
    if (held !== undefined) return Readable.from([held]);
    const file = this.#open();
    this.#readers++;
    const stream = Readable.from(regionChunks(file, region), { objectMode: false });
    finished(stream, () => void this.#readerEnds());
    return stream;
  }

  /** What all other questions are answered from. */
  table(): Promise<ImageTable> {
    this.#table ??= this.read(this.footer.table)
      .then(promisify(gunzip))
      .then((json) => ImageTable.parse(json.toString()));
    return this.#table;
  }

  /** What the images of each app are. */
  async appVersions(): Promise<AppVersions> {
    const json = await promisify(gunzip)(await this.read(this.footer.appVersions));
    return JSON.parse(json.toString()) as AppVersions;
  }

  /** Reads parts of the whole document. */
  readonly readRange: ReadRange = ({ start, end }) => this.read({ offset: start, length: end - start });

  /** Stays readable while `use` runs, also if it is closed meanwhile. */
  async reading<T>(use: () => Promise<T>): Promise<T> {
    this.#readers++;
    try {
      return await use();
    } finally {
      await this.#readerEnds();
    }
  }

  /** Closes the file as soon as nobody reads it any more. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#readers === 0) await this.#file?.close();
  }

  #open(): FileHandle {
    if (this.#file === undefined || (this.#closing && this.#readers === 0)) throw new SnapshotError(`${this.#path} was closed`);
    return this.#file;
  }

  async #readerEnds(): Promise<void> {
    this.#readers--;
    if (this.#closing && this.#readers === 0) await this.#file?.close();
  }
}

function damaged(path: string, what: string): SnapshotError {
  return new SnapshotError(`${path} is no whole snapshot: ${what}`);
}

async function readFooter(file: FileHandle, size: number, path: string): Promise<SnapshotFooter> {
  if (size < TRAILER_LENGTH) throw damaged(path, `it has ${size} bytes`);
  const trailer = await readRegion(file, { offset: size - TRAILER_LENGTH, length: TRAILER_LENGTH });
  if (!trailer.subarray(HASH_LENGTH + 4).equals(MAGIC)) throw damaged(path, 'it is cut off, or of another version');
  const length = trailer.readUInt32BE(HASH_LENGTH);
  if (length > size - TRAILER_LENGTH) throw damaged(path, 'its footer is longer than the file');
  const json = await readRegion(file, { offset: size - TRAILER_LENGTH - length, length });
  if (!createHash('sha256').update(json).digest().equals(trailer.subarray(0, HASH_LENGTH))) throw damaged(path, 'its footer is not what was written');
  return JSON.parse(json.toString()) as SnapshotFooter;
}
