/** Remembers what is served: the versions of each index, the chunks that they consist of, and the icons. */
import type { Digest } from '../registry/digest.ts';

/** A version of an index. */
export interface Publication {
  /** The index's name. */
  readonly index: string;
  /** Higher with each publication of the index. */
  readonly version: number;
  /** Changes whenever the same images would be written in another way; each version of the program reads its own. */
  readonly format: string;
  /** The `Registry` of the index. */
  readonly registry: string;
  /** When its content last changed: milliseconds since the epoch, in whole seconds. */
  readonly modified: number;
  /** The names of its chunks, in the order of the document. */
  readonly chunks: readonly string[];
  /** What the renderer has to know of it; nothing that is served. JSON. */
  readonly origin: string;
}

/** A chunk as it is kept: content-addressed, in two parts: what is needed to know what it holds, and what is sent. */
export interface StoredChunk {
  /** SHA-256 of the head, in hexadecimal. */
  readonly name: string;
  readonly head: Buffer;
  readonly body: Buffer;
}

/** Some bytes of a chunk's body. */
export interface StoredSegment {
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  /** Of these bytes, in hexadecimal. */
  readonly sha256: string;
}

/** A document about an index that is made after its publication, such as the list of all apps. */
export interface SideDocument {
  /** Version of the publication that it was made from. */
  readonly version: number;
  readonly body: Buffer;
}

/**
 * What reads publications. Every method rejects with a {@link StoreError} if what they are kept in is damaged or cannot be reached;
 * what is read is compared with what names it, so that nothing damaged is ever served.
 */
export interface PublicationReader {
  /** The newest publication of an index; `undefined` before the first one. */
  publication(index: string): Promise<Publication | undefined>;

  /** The heads of chunks by their names. One that is not there any more is left out: then a newer publication is. */
  chunkHeads(names: readonly string[]): Promise<ReadonlyMap<string, Buffer>>;

  /** A segment of a chunk's body; `undefined` if the chunk is not there any more. */
  chunkSegment(name: string, segment: StoredSegment): Promise<Buffer | undefined>;

  /** The PNG of an icon; `undefined` if it is not there, or damaged. */
  png(digest: Digest): Promise<Buffer | undefined>;

  /** The list of the apps of an index; `undefined` if none was made yet. */
  apps(index: string): Promise<SideDocument | undefined>;
}

/** What writes publications; one object at a time may. Each method is one transaction, whole or not at all. */
export interface Publications extends PublicationReader {
  /** The names of all indexes that have a publication. */
  published(): Promise<readonly string[]>;

  /** Keeps chunks of a publication that is to come. Safe to repeat. */
  putChunks(chunks: readonly StoredChunk[]): Promise<void>;

  /** Publishes a version of an index in place of the one before. `chunks` are those of it that may not be there yet. */
  publish(publication: Publication, chunks: readonly StoredChunk[]): Promise<void>;

  /** Keeps the list of an index's apps. */
  putApps(index: string, apps: SideDocument): Promise<void>;

  /** Keeps PNGs by their digests. Safe to repeat. */
  putPngs(pngs: ReadonlyMap<Digest, Uint8Array>): Promise<void>;

  /** Which of these PNGs are not there. */
  missingPngs(digests: readonly Digest[]): Promise<readonly Digest[]>;

  /** Forgets all indexes but these. */
  keepIndexes(indexes: ReadonlySet<string>): Promise<void>;

  /**
   * Removes chunks that no publication has named since `chunksBefore`, and PNGs that `named` has not been true of since `pngsBefore`; without
   * `named`, PNGs are left alone.
   * Times are milliseconds since the epoch.
   */
  clean(options: { readonly chunksBefore: number; readonly now: number; readonly named?: (digest: Digest) => boolean; readonly pngsBefore?: number }): Promise<void>;

  close(): Promise<void>;
}
