/** Appends bodies to a file and tells where each stands and what its bytes hash to. */
import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Representation } from './format.ts';

const BUFFERED_BYTES = 1024 * 1024;

/** A strong entity tag for bytes with this sha256. */
export function entityTag(hash: Hash): string {
  return `"${hash.digest('base64url')}"`;
}

export class RegionWriter {
  readonly #file: FileHandle;
  #written = 0;
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  #start = 0;
  #hash = createHash('sha256');

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Where the next byte will stand in the file. */
  get position(): number {
    return this.#written + this.#buffered;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    this.#chunks.push(bytes);
    this.#buffered += bytes.length;
    if (this.#buffered >= BUFFERED_BYTES) await this.flush();
  }

  /** Ends the body that was appended since the last end. */
  endRegion(): Representation {
    const region = { offset: this.#start, length: this.position - this.#start, etag: entityTag(this.#hash) };
    this.#start = this.position;
    this.#hash = createHash('sha256');
    return region;
  }

  /** Brings everything that was appended into the file. */
  async flush(): Promise<void> {
    const chunks = this.#chunks;
    const bytes = this.#buffered;
    this.#chunks = [];
    if (bytes === 0) return;
    let offset = this.#written;
    this.#written += bytes;
    this.#buffered = 0;
    const block = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
    for (let from = 0; from < block.length; ) {
      const { bytesWritten } = await this.#file.write(block, from, block.length - from, offset);
      from += bytesWritten;
      offset += bytesWritten;
    }
  }
}
