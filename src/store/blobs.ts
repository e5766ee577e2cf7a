/** Large content by its digest, in pieces: each kind is kept and removed by itself. */
import { createHash } from 'node:crypto';
import { digestAlgorithm, type Digest } from '../registry/digest.ts';

/** Size of each piece of a blob but the last, in bytes. */
export const PIECE_BYTES = 1024 * 1024;

/** Purposes of blobs. */
export type BlobKind = 'delta' | 'delta-manifest' | 'screenshot';

/** Names a blob. */
export interface BlobName {
  readonly kind: BlobKind;
  readonly digest: Digest;
}

/** Reads blobs. Every method rejects with a {@link StoreError} if the store is unavailable. */
export interface BlobReader {
  /** Returns the size of a blob in bytes; `undefined` if it is not stored whole. */
  size(blob: BlobName): Promise<number | undefined>;

  /** Returns a piece of a blob, counted from 0; `undefined` if it is missing or damaged. */
  piece(blob: BlobName, position: number): Promise<Buffer | undefined>;
}

/** Reads and writes blobs. Each method but `clean` and `remove` is one transaction. */
export interface Blobs extends BlobReader {
  /**
   * Stores a piece, in place of an earlier one. Its blob is there once it is {@link complete}.
   * @param now milliseconds since the epoch
   */
  putPiece(blob: BlobName, position: number, bytes: Uint8Array, now: number): Promise<void>;

  /**
   * Says that all pieces of a blob are stored, or that it is in use again.
   * @throws StoreError; BlobMissing if they do not have this size
   */
  complete(blob: BlobName, size: number): Promise<void>;

  /** Returns the size of all blobs of a kind that are stored whole, in bytes. */
  stored(kind: BlobKind): Promise<number>;

  /** Returns the digests of all blobs of a kind that are stored whole. */
  whole(kind: BlobKind): Promise<ReadonlySet<Digest>>;

  /** Removes a blob, whole or not. */
  remove(blob: BlobName): Promise<void>;

  /**
   * Removes blobs of a kind for which `named` has been false since `before`, as far as earlier calls have seen, and those
   * that have not been complete since then. Times are milliseconds since the epoch. Takes many short transactions.
   */
  clean(options: {
    readonly kind: BlobKind;
    readonly named: (digest: Digest) => boolean;
    readonly before: number;
    readonly now: number;
  }): Promise<void>;

  /** Closes the blobs. Safe to repeat. */
  close(): Promise<void>;
}

/** Thrown when a blob is not there, or not whole any more. */
export class BlobMissing extends Error {
  override readonly name = 'BlobMissing';
  readonly blob: BlobName;

  constructor(blob: BlobName) {
    super(`the ${blob.kind} ${blob.digest} is damaged or missing`);
    this.blob = blob;
  }
}

/** Writes one blob, and checks that its content has its digest. */
export class BlobWriter {
  readonly #blobs: Blobs;
  readonly #blob: BlobName;
  readonly #hash;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #pieces = 0;
  #size = 0;

  constructor(blobs: Blobs, blob: BlobName) {
    this.#blobs = blobs;
    this.#blob = blob;
    this.#hash = createHash(digestAlgorithm(blob.digest));
  }

  /** @throws StoreError */
  async add(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    this.#size += bytes.length;
    for (let start = 0; start < bytes.length;) {
      const part = bytes.subarray(start, start + PIECE_BYTES - this.#waitingBytes);
      this.#waiting.push(part);
      this.#waitingBytes += part.length;
      start += part.length;
      if (this.#waitingBytes === PIECE_BYTES) await this.#put();
    }
  }

  /**
   * Completes the blob.
   * @throws StoreError; Error if the content has another digest
   */
  async end(): Promise<void> {
    const { digest, kind } = this.#blob;
    const found = `${digestAlgorithm(digest)}:${this.#hash.digest('hex')}`;
    if (found !== digest) throw new Error(`the ${kind} ${digest} has the digest ${found}`);
    if (this.#waitingBytes > 0) await this.#put();
    await this.#blobs.complete(this.#blob, this.#size);
  }

  async #put(): Promise<void> {
    const piece = Buffer.concat(this.#waiting, this.#waitingBytes);
    this.#waiting = [];
    this.#waitingBytes = 0;
    await this.#blobs.putPiece(this.#blob, this.#pieces++, piece, Date.now());
  }
}

/**
 * Stores a blob. If it is there already, it is only in use again, and `content` is not read.
 * @throws StoreError; Error if the content has another digest; what `content` throws
 */
export async function putBlob(
  blobs: Blobs,
  blob: BlobName,
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const size = await blobs.size(blob);
  if (size !== undefined) return blobs.complete(blob, size);
  const writer = new BlobWriter(blobs, blob);
  for await (const bytes of content) await writer.add(bytes);
  await writer.end();
}

/**
 * Streams a blob from `start` up to `end`, both included; a piece at a time is in memory.
 * @throws StoreError; BlobMissing
 */
export async function* readBlob(blobs: BlobReader, blob: BlobName, start: number, end: number): AsyncGenerator<Buffer> {
  for (let position = Math.floor(start / PIECE_BYTES); position * PIECE_BYTES <= end; position++) {
    const piece = await blobs.piece(blob, position);
    const offset = position * PIECE_BYTES;
    const part = piece?.subarray(Math.max(0, start - offset), end + 1 - offset);
    if (part === undefined || part.length < Math.min(PIECE_BYTES, end + 1 - offset) - Math.max(0, start - offset))
      throw new BlobMissing(blob);
    yield part;
  }
}

/**
 * Reads a blob that is small enough for memory; `undefined` if it is damaged or missing.
 * @throws StoreError
 */
export async function readWholeBlob(blobs: BlobReader, blob: BlobName): Promise<Buffer | undefined> {
  const size = await blobs.size(blob);
  if (size === undefined) return undefined;
  const pieces: Buffer[] = [];
  try {
    for await (const piece of readBlob(blobs, blob, 0, size - 1)) pieces.push(piece);
    return Buffer.concat(pieces, size);
  } catch (error) {
    if (error instanceof BlobMissing) return undefined;
    throw error;
  }
}
