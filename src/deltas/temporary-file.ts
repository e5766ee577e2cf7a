/** Files without a name: nothing of them is left, however the process ends. */
import { randomBytes } from 'node:crypto';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { messageOf } from '../system/message-of.ts';
import { DeltaError } from './delta-error.ts';
import { RandomAccess } from './random-access.ts';

const MODE = 0o600;
const CHUNK_BYTES = 64 * 1024;

/** A file that is gone once it is closed. */
export class TemporaryFile implements AsyncDisposable {
  readonly #folder: string;
  readonly #file: FileHandle;
  #size = 0;

  private constructor(folder: string, file: FileHandle) {
    this.#folder = folder;
    this.#file = file;
  }

  /**
   * Creates an empty one.
   * @throws DeltaError `disk`
   */
  static async in(folder: string): Promise<TemporaryFile> {
    const path = join(folder, `regindexer-${randomBytes(12).toString('hex')}`);
    let file: FileHandle | undefined;
    try {
      file = await open(path, 'wx+', MODE);
      await unlink(path);
      return new TemporaryFile(folder, file);
    } catch (cause) {
      await file?.close();
      throw unwritable(folder, cause);
    }
  }

  /** The size in bytes. */
  get size(): number {
    return this.#size;
  }

  /** @throws DeltaError `disk` */
  async append(bytes: Buffer): Promise<void> {
    try {
      await this.#file.writeFile(bytes);
    } catch (cause) {
      throw unwritable(this.#folder, cause);
    }
    this.#size += bytes.length;
  }

  /**
   * Reads the file, to which nothing is appended any more, at any place.
   * @param name for messages
   */
  randomAccess(name: string): RandomAccess {
    return new RandomAccess(name, this.#file.fd, this.#size);
  }

  /** Streams the file from its beginning. */
  stream(): Readable {
    return this.#file.createReadStream({ start: 0, autoClose: false, highWaterMark: CHUNK_BYTES });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

function unwritable(folder: string, cause: unknown): DeltaError {
  return new DeltaError(
    'disk',
    `${folder}: no temporary file can be written (${messageOf(cause)}); make room there, or name another folder`,
    { cause },
  );
}
