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

/** A snapshot consists of many small pieces: they are gathered, hashed and written in large ones. */
export class RegionWriter {
  readonly #file: FileHandle;
  readonly #buffer = Buffer.allocUnsafe(BUFFERED_BYTES);
  #written = 0;
  #buffered = 0;
  /** How much of what is buffered is in the hash already. */
  #hashed = 0;
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
    if (bytes.length > BUFFERED_BYTES - this.#buffered) await this.flush();
    if (bytes.length > BUFFERED_BYTES) {
      this.#hash.update(bytes);
      await this.#write(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#buffered);
    this.#buffered += bytes.length;
  }

  /** Appends a text in UTF-8; returns how many bytes it took. */
  async appendText(text: string): Promise<number> {
    // At most three bytes for each UTF-16 code unit.
    if (text.length * 3 > BUFFERED_BYTES) {
      const bytes = Buffer.from(text);
      await this.append(bytes);
      return bytes.length;
    }
    if (text.length * 3 > BUFFERED_BYTES - this.#buffered) await this.flush();
    const length = this.#buffer.write(text, this.#buffered);
    this.#buffered += length;
    return length;
  }

  /** Ends the body that was appended since the last end. */
  endRegion(): Representation {
    this.#hashBuffered();
    const region = { offset: this.#start, length: this.position - this.#start, etag: entityTag(this.#hash) };
    this.#start = this.position;
    this.#hash = createHash('sha256');
    return region;
  }

  /** Brings everything that was appended into the file. */
  async flush(): Promise<void> {
    this.#hashBuffered();
    const bytes = this.#buffer.subarray(0, this.#buffered);
    this.#buffered = 0;
    this.#hashed = 0;
    await this.#write(bytes);
  }

  #hashBuffered(): void {
    this.#hash.update(this.#buffer.subarray(this.#hashed, this.#buffered));
    this.#hashed = this.#buffered;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, from, bytes.length - from, this.#written);
      from += bytesWritten;
      this.#written += bytesWritten;
    }
  }
}
