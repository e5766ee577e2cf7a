/** A body on its way to one client, written piece by piece, each once the system has taken the one before. */
import { Readable, type Writable } from 'node:stream';

/** Bytes of a piece for a client that is slow, or not known yet, and for one that is fast. */
const SLOW_PIECE = 4 * 1024;
const FAST_PIECE = 16 * 1024;
/** A client is fast that takes a piece within so many milliseconds, and slow beyond the other. */
const FAST = 100;
const SLOW = 1_000;

export class PacedBody extends Readable {
  readonly #source: Buffer | Readable;
  readonly #onTaken: (bytes: number) => void;
  #waiting = false;

  /** @param onTaken told of each piece that the system has taken */
  constructor(source: Buffer | Readable, onTaken: (bytes: number) => void) {
    super();
    this.#source = source;
    this.#onTaken = onTaken;
  }

  /** Says whether something is written that the system has not taken. */
  get waiting(): boolean {
    return this.#waiting;
  }

  override _read(): void {
    // It is only ever written by `pipe`; without that, nobody wants it.
    this.push(null);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!Buffer.isBuffer(this.#source)) this.#source.destroy();
    done(error);
  }

  override pipe<T extends NodeJS.WritableStream>(destination: T): T {
    this.#write(destination as NodeJS.WritableStream as Writable).then(
      () => this.resume(),
      (error: Error) => this.destroy(error),
    );
    return destination;
  }

  async #write(destination: Writable): Promise<void> {
    let size = SLOW_PIECE;
    for await (const chunk of chunksOf(this.#source)) {
      for (let start = 0; start < chunk.length; ) {
        const piece = chunk.subarray(start, start + size);
        const began = performance.now();
        this.#waiting = true;
        await taken(destination, piece);
        this.#waiting = false;
        if (this.destroyed || destination.destroyed) return;
        start += piece.length;
        this.#onTaken(piece.length);
        const took = performance.now() - began;
        if (took < FAST) size = FAST_PIECE;
        else if (took > SLOW) size = SLOW_PIECE;
      }
    }
    destination.end();
  }
}

/** Resolves when the system has taken `piece`, or never will. */
async function taken(destination: Writable, piece: Buffer): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = (): void => resolve();
  destination.once('close', end);
  destination.write(piece, end);
  await promise;
  destination.off('close', end);
}

async function* chunksOf(source: Buffer | Readable): AsyncGenerator<Buffer> {
  if (Buffer.isBuffer(source)) yield source;
  else for await (const chunk of source as AsyncIterable<Buffer | string>) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
}
