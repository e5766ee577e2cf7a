/** The operations of a delta, and how they are written (containers/tar-diff, file-format.md). */
import type { Stretch } from './compare-bytes.ts';

/** The first bytes of a delta; a zstd stream of operations follows. */
export const MAGIC: Buffer = Buffer.from('tardf1\n\0', 'latin1');

/** Codes of operations, each followed by a number; `data`, `open` and `add` by as many bytes, too. */
export const OPERATION = {
  /** The bytes that follow. */
  data: 0,
  /** The path of the old file that the next operations read, from its beginning. */
  open: 1,
  /** Bytes of the old file. */
  copy: 2,
  /** Bytes of the old file, to each of which one of the bytes that follow is added. */
  add: 3,
  /** The place in the old file that the next operations read. */
  seek: 4,
} as const;

const CHUNK_BYTES = 128 * 1024;
/** The most bytes of an operation's code and number. */
const MAX_HEAD_BYTES = 9;

/** Writes operations into chunks. */
export class OperationWriter {
  #full: Buffer[] = [];
  #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #length = 0;
  #path: string | undefined;
  #position = 0;

  /** Says whether there are chunks to {@link take}. */
  get isFull(): boolean {
    return this.#full.length > 0;
  }

  /** Returns the chunks that have been filled, once. */
  take(): readonly Buffer[] {
    const full = this.#full;
    this.#full = [];
    return full;
  }

  /** Begins bytes of the new archive; `length` bytes must follow by {@link put}. */
  data(length: number): void {
    this.#head(OPERATION.data, length);
  }

  put(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const length = Math.min(bytes.length - done, CHUNK_BYTES - this.#length);
      this.#chunk.set(bytes.subarray(done, done + length), this.#length);
      this.#length += length;
      done += length;
      if (this.#length === CHUNK_BYTES) this.flush();
    }
  }

  /** Copies from an old file. */
  copy(path: string, position: number, length: number): void {
    this.#goTo(path, position);
    this.#head(OPERATION.copy, length);
    this.#position += length;
  }

  /** Adds the differences of a stretch to an old file, in which it begins at `position`. */
  add(path: string, position: number, before: Uint8Array, after: Uint8Array, { from, at, length }: Stretch): void {
    this.#goTo(path, position);
    this.#head(OPERATION.add, length);
    this.#position += length;
    for (let done = 0; done < length;) {
      const chunk = this.#chunk;
      const start = this.#length - done;
      const end = Math.min(length, done + CHUNK_BYTES - this.#length);
      for (; done < end; done++) chunk[start + done] = (after[at + done] as number) - (before[from + done] as number);
      this.#length = start + done;
      if (this.#length === CHUNK_BYTES) this.flush();
    }
  }

  /** Ends the last chunk. */
  flush(): void {
    if (this.#length > 0) this.#full.push(this.#chunk.subarray(0, this.#length));
    this.#chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    this.#length = 0;
  }

  #goTo(path: string, position: number): void {
    if (path !== this.#path) {
      const bytes = Buffer.from(path, 'latin1');
      this.#head(OPERATION.open, bytes.length);
      this.put(bytes);
      this.#path = path;
      this.#position = 0;
    }
    if (position !== this.#position) this.#head(OPERATION.seek, position);
    this.#position = position;
  }

  #head(operation: number, number: number): void {
    if (this.#length + MAX_HEAD_BYTES > CHUNK_BYTES) this.flush();
    this.#chunk[this.#length++] = operation;
    let rest = number;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#chunk[this.#length++] = (rest % 0x80) | 0x80;
    this.#chunk[this.#length++] = rest;
  }
}
