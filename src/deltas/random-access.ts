/** Reads a file at any place. */
import { readSync } from 'node:fs';
import { DeltaError } from './delta-error.ts';

/** Bytes that are read ahead: headers, and the content of small files. */
const WINDOW_BYTES = 64 * 1024;

/**
 * An open file, such as an uncompressed layer on disk. Reads are synchronous and block the thread: each layer has
 * thousands of small ones, and who makes deltas has a thread for that.
 */
export class RandomAccess {
  /** The name for messages. */
  readonly name: string;
  /** The size in bytes. */
  readonly size: number;
  readonly #descriptor: number;
  readonly #window = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  #start = 0;
  #end = 0;

  constructor(name: string, descriptor: number, size: number) {
    this.name = name;
    this.#descriptor = descriptor;
    this.size = size;
  }

  /**
   * The `length` bytes at `position`; their buffer is used again by the next call.
   * @throws DeltaError `damaged` if the file ends before.
   */
  read(position: number, length: number): Buffer {
    if (length > this.#window.length) return this.readInto(Buffer.allocUnsafeSlow(length), position);
    if (position < this.#start || position + length > this.#end) {
      this.#end = 0;
      const filled = Math.max(length, Math.min(WINDOW_BYTES, this.size - position));
      this.readInto(this.#window.subarray(0, filled), position);
      this.#start = position;
      this.#end = position + filled;
    }
    return this.#window.subarray(position - this.#start, position - this.#start + length);
  }

  /** Yields `length` bytes from `position` on, piece by piece; the buffer of a piece is used again for the next one. */
  *pieces(position: number, length: number): Generator<Buffer> {
    for (let done = 0; done < length;) {
      const piece = this.read(position + done, Math.min(WINDOW_BYTES, length - done));
      yield piece;
      done += piece.length;
    }
  }

  /**
   * Fills `target` with the bytes at `position`, and returns it.
   * @throws DeltaError `damaged` if the file ends before.
   */
  readInto(target: Buffer, position: number): Buffer {
    for (let filled = 0; filled < target.length;) {
      const bytes = readSync(this.#descriptor, target, filled, target.length - filled, position + filled);
      if (bytes === 0) throw new DeltaError('damaged', `${this.name}: ends early`);
      filled += bytes;
    }
    return target;
  }
}
