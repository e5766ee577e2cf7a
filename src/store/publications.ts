/** Served content: the publications of the indexes, the chunks that they consist of, and the icons. */
import type { Digest } from '../registry/digest.ts';

/** One version of an index. */
export interface Publication {
  /** Name of the index. */
  readonly index: string;
  /** Higher with each publication of the index. */
  readonly version: number;
  /** Changes whenever the same images are written in another way; each version of the program reads only its own. */
  readonly format: string;
  /** The `Registry` of the document (flatpak-oci-specs, registry-index.md). */
  readonly registry: string;
  /** When the content last changed, in milliseconds since the epoch, rounded down to seconds. */
  readonly modified: number;
  /** Names of its chunks, in the order of the document. */
  readonly chunks: readonly string[];
  /** JSON for the renderer alone; it is not served. */
  readonly origin: string;
}

/**
 * A content-addressed chunk in two parts: the head says what it holds and is kept in memory, the body is what is sent.
 */
export interface StoredChunk {
  /** SHA-256 of the head, in hexadecimal. The head holds the hashes of the body's segments. */
  readonly name: string;
  readonly head: Buffer;
  readonly body: Buffer;
}

/** A byte range of a chunk's body. */
export interface StoredSegment {
  readonly offset: number;
  /** In bytes. */
  readonly length: number;
  /** SHA-256 of these bytes, in hexadecimal. */
  readonly sha256: string;
}

/** A document about an index that is made after the publication, such as the list of its apps. */
export interface SideDocument {
  /** Version of the publication that it was made from. */
  readonly version: number;
  readonly body: Buffer;
}

/**
 * Reads publications. Every method rejects with a {@link StoreError} if the store is damaged or unavailable; everything
 * that is read is checked against its hash, so that nothing damaged is served.
 */
export interface PublicationReader {
  /** Returns the newest publication of an index; `undefined` before the first one. */
  publication(index: string): Promise<Publication | undefined>;

  /** Returns the heads of chunks by name. Removed chunks are left out: a newer publication has replaced theirs. */
  chunkHeads(names: readonly string[]): Promise<ReadonlyMap<string, Buffer>>;

  /** Returns a segment of a chunk's body; `undefined` if the chunk was removed. */
  chunkSegment(name: string, segment: StoredSegment): Promise<Buffer | undefined>;

  /** Returns the PNG of an icon; `undefined` if it is missing or damaged. */
  png(digest: Digest): Promise<Buffer | undefined>;

  /** Returns the list of an index's apps; `undefined` if there is none yet, or it is damaged. */
  apps(index: string): Promise<SideDocument | undefined>;
}

/** Reads and writes publications. There is one writer at a time; each method but `clean` is one transaction. */
export interface Publications extends PublicationReader {
  /** Returns the names of all indexes that have a publication. */
  published(): Promise<readonly string[]>;

  /** Returns the highest version of an index, in whichever format; 0 before the first. */
  newestVersion(index: string): Promise<number>;

  /** Stores chunks of the next publication. Safe to repeat. */
  putChunks(chunks: readonly StoredChunk[]): Promise<void>;

  /**
   * Replaces an index's publication.
   * @param chunks those of its chunks that may not be stored yet
   */
  publish(publication: Publication, chunks: readonly StoredChunk[]): Promise<void>;

  /** Stores the list of an index's apps. */
  putApps(index: string, apps: SideDocument): Promise<void>;

  /** Stores PNGs by digest. Safe to repeat. */
  putPngs(pngs: ReadonlyMap<Digest, Uint8Array>): Promise<void>;

  /** Returns those of these PNGs that are not stored. */
  missingPngs(digests: readonly Digest[]): Promise<readonly Digest[]>;

  /** Removes all indexes but these. Where replicas share the store, one that others have served in the last day stays. */
  keepIndexes(indexes: ReadonlySet<string>): Promise<void>;

  /**
   * Removes chunks that no publication has named since `chunksBefore`, and PNGs for which `named` has been false since
   * `pngsBefore`, as far as earlier calls have seen; without `named`, no PNGs. Times are milliseconds since the epoch.
   * Takes many short transactions.
   */
  clean(options: {
    readonly chunksBefore: number;
    readonly now: number;
    readonly named?: (digest: Digest) => boolean;
    readonly pngsBefore?: number;
  }): Promise<void>;

  /** Closes the publications. Safe to repeat. */
  close(): Promise<void>;
}
