/** Collects the body of a message. */

/** Longer bodies are discarded. */
const MAX_BODY_BYTES = 1024 * 1024;

/** A body that comes in pieces. */
export class BoundedBody {
  // One growing buffer, because a body may come byte by byte.
  #bytes: Buffer = Buffer.of();
  #length = 0;

  /** The number of bytes so far, with those that were discarded. */
  get length(): number {
    return this.#length;
  }

  /** The bytes so far; `undefined` if they are over 1 MiB. */
  get bytes(): Buffer | undefined {
    return this.#length <= MAX_BODY_BYTES ? this.#bytes.subarray(0, this.#length) : undefined;
  }

  append(piece: Buffer): void {
    const end = this.#length + piece.length;
    if (end <= MAX_BODY_BYTES) {
      if (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], Math.max(end, 2 * this.#bytes.length));
      piece.copy(this.#bytes, this.#length);
    } else this.#bytes = Buffer.of();
    this.#length = end;
  }
}
