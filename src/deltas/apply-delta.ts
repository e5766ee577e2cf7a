/** Applies a delta: makes the archive of the new layer from the files of the old one. */
import { DeltaError } from './delta-error.ts';
import { MAGIC, OPERATION } from './operations.ts';
import type { OldLayer } from './old-layer.ts';
import { cleanPath, type TarEntry } from './read-tar.ts';
import { peek, uncompressZstd } from './uncompress.ts';

const CHUNK_BYTES = 64 * 1024;
/** The most bytes of a path (PATH_MAX of Linux). */
const MAX_PATH_BYTES = 4096;
/** The most bytes of a number, each of which holds seven of its bits. */
const MAX_NUMBER_BYTES = 8;
/** The most operations: for each byte that they make, and in addition. Opening and seeking make none. */
const MAX_OPERATIONS_PER_BYTE = 4;
const MAX_MORE_OPERATIONS = 1_000_000;

/**
 * Yields the new archive.
 * @param name of the delta, for messages
 * @param maxBytes the most bytes of the new archive
 * @throws DeltaError `damaged` if the delta is not valid or does not fit the old layer, `too-large` if it makes more
 */
export async function* applyDelta(
  { archive, files }: OldLayer,
  delta: AsyncIterable<Buffer>,
  { name, maxBytes }: { readonly name: string; readonly maxBytes: number },
): AsyncGenerator<Buffer> {
  const damaged = (reason: string): DeltaError => new DeltaError('damaged', `${name}: ${reason}`);
  const [magic, rest] = await peek(delta, MAGIC.length);
  if (!magic.equals(MAGIC)) throw damaged('is not a delta');
  const output = new Output();
  let file: TarEntry | undefined;
  let position = 0;
  let made = 0;
  let operations = 0;

  /** Reads the next bytes of the old file; they are valid until the next call. */
  const readOld = (length: number): Buffer => {
    if (file === undefined) throw damaged('reads an old file before it opens one');
    if (length > file.size - position) throw damaged(`reads ${quote(file.path)} beyond its end`);
    const bytes = archive.read(file.position + position, length);
    position += length;
    return bytes;
  };

  await using input = new Input(uncompressZstd(rest, name), name);
  while (!input.isEmpty || (await input.fill())) {
    const code = input.byte();
    let number = 0;
    for (let place = 0, byte = 0x80; byte >= 0x80; place++) {
      if (input.isEmpty) await input.more();
      byte = input.byte();
      number += (byte % 0x80) * 0x80 ** place;
      if (place === MAX_NUMBER_BYTES || !Number.isSafeInteger(number)) throw damaged('has a number that is too large');
    }
    if (code === OPERATION.data || code === OPERATION.copy || code === OPERATION.add) made += number;
    if (made > maxBytes) throw new DeltaError('too-large', `${name}: makes more than ${maxBytes} bytes`);
    if (++operations > made * MAX_OPERATIONS_PER_BYTE + MAX_MORE_OPERATIONS)
      throw damaged('has too many operations that make nothing');
    switch (code) {
      case OPERATION.data:
      case OPERATION.add:
        for (let left = number; left > 0;) {
          if (input.isEmpty) await input.more();
          const bytes = input.take(Math.min(left, output.room));
          if (code === OPERATION.data) output.put(bytes);
          else output.putSum(bytes, readOld(bytes.length));
          left -= bytes.length;
          if (output.room === 0) yield output.flush();
        }
        break;
      case OPERATION.copy:
        for (let left = number; left > 0;) {
          const bytes = readOld(Math.min(left, output.room));
          output.put(bytes);
          left -= bytes.length;
          if (output.room === 0) yield output.flush();
        }
        break;
      case OPERATION.open: {
        if (number > MAX_PATH_BYTES) throw damaged(`has a path of ${number} bytes`);
        let path = '';
        while (path.length < number) {
          if (input.isEmpty) await input.more();
          path += input.take(number - path.length).toString('latin1');
        }
        file = files.get(cleanPath(path));
        if (file === undefined) throw damaged(`needs ${quote(path)}, which is not a file of the old layer`);
        position = 0;
        break;
      }
      case OPERATION.seek:
        position = number;
        break;
      default:
        throw damaged(`has the operation ${code}, which is unknown`);
    }
  }
  yield output.flush();
}

function quote(path: string): string {
  return JSON.stringify(Buffer.from(path, 'latin1').toString());
}

/** The operations of a delta, chunk by chunk. */
class Input implements AsyncDisposable {
  readonly #chunks: AsyncGenerator<Buffer>;
  readonly #name: string;
  #chunk: Buffer = Buffer.alloc(0);
  #place = 0;

  constructor(chunks: AsyncGenerator<Buffer>, name: string) {
    this.#chunks = chunks;
    this.#name = name;
  }

  /** Says whether the chunk is used up. */
  get isEmpty(): boolean {
    return this.#place === this.#chunk.length;
  }

  /** Waits for the next chunk; false at the end. */
  async fill(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    if (done) return false;
    this.#chunk = value;
    this.#place = 0;
    return value.length > 0 || this.fill();
  }

  /**
   * Waits for the next chunk, in an operation.
   * @throws DeltaError `damaged` at the end
   */
  async more(): Promise<void> {
    if (!(await this.fill())) throw new DeltaError('damaged', `${this.#name}: ends early`);
  }

  /** Takes the next byte of the chunk, which is not empty. */
  byte(): number {
    return this.#chunk[this.#place++] as number;
  }

  /** Takes up to `length` bytes of the chunk. */
  take(length: number): Buffer {
    const bytes = this.#chunk.subarray(this.#place, this.#place + length);
    this.#place += bytes.length;
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks.return(undefined);
  }
}

/** Gathers the new archive in chunks. */
class Output {
  #chunk: Buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #length = 0;

  /** The most bytes that may be put before the next {@link flush}. */
  get room(): number {
    return CHUNK_BYTES - this.#length;
  }

  put(bytes: Uint8Array): void {
    this.#chunk.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  putSum(one: Uint8Array, other: Uint8Array): void {
    for (let place = 0; place < one.length; place++)
      this.#chunk[this.#length++] = (one[place] as number) + (other[place] as number);
  }

  flush(): Buffer {
    const filled = this.#chunk.subarray(0, this.#length);
    this.#chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    this.#length = 0;
    return filled;
  }
}
