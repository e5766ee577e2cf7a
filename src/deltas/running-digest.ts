/** Digests of bytes that come one after another. */
import { createHash, type Hash } from 'node:crypto';
import { digestAlgorithm, type Digest, type DigestAlgorithm } from '../registry/digest.ts';

/** The digest and the number of the bytes so far. */
export class RunningDigest {
  readonly #algorithm: DigestAlgorithm;
  readonly #hash: Hash;
  #bytes = 0;
  #digest: Digest | undefined;

  /** @param expected a digest whose algorithm is used; SHA-256 by default */
  constructor(expected?: Digest) {
    this.#algorithm = expected === undefined ? 'sha256' : digestAlgorithm(expected);
    this.#hash = createHash(this.#algorithm);
  }

  /** The number of bytes so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The digest of all bytes; there can be no more of them afterwards. */
  get digest(): Digest {
    this.#digest ??= `${this.#algorithm}:${this.#hash.digest('hex')}` as Digest;
    return this.#digest;
  }

  add(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
  }

  /** Yields the same chunks. */
  async *pass(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      this.add(chunk);
      yield chunk;
    }
  }
}
