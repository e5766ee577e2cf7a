/** A body that is written to one client in pieces, each after the system has accepted the previous one. */
import { Readable, type Writable } from 'node:stream';

/** Bytes of a piece for a slow or new client; while pieces are taken fast, each is so many times larger, up to a limit. */
const SLOW_PIECE = 4 * 1024;
const GROWTH = 4;
/** A client that slows down to the least rate takes it well within the time that it has. */
const FAST_PIECE = 64 * 1024;
/** A client that takes a piece within FAST milliseconds is fast, and one that needs more than SLOW is slow. */
const FAST = 100;
const SLOW = 1_000;

/** A stream that `reply.send` pipes to the response. */
export class PacedBody extends Readable {
  readonly #source: Buffer | Readable;
  readonly #onTaken: (bytes: number) => void;
  #waiting = false;

  /** @param onTaken called with the size of each piece that the system has accepted */
  constructor(source: Buffer | Readable, onTaken: (bytes: number) => void) {
    super();
    this.#source = source;
    this.#onTaken = onTaken;
  }

  /** Whether a written piece is pending. */
  get waiting(): boolean {
    return this.#waiting;
  }

  override _read(): void {
    // Only `pipe` writes the body; ends at once if read in another way.
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
      for (let start = 0; start < chunk.length;) {
        const piece = chunk.subarray(start, start + size);
        const began = performance.now();
        this.#waiting = true;
        await taken(destination, piece);
        this.#waiting = false;
        if (this.destroyed || destination.destroyed) return;
        start += piece.length;
        this.#onTaken(piece.length);
        const took = performance.now() - began;
        if (took < FAST) size = Math.min(size * GROWTH, FAST_PIECE);
        else if (took > SLOW) size = SLOW_PIECE;
      }
    }
    destination.end();
  }
}

/** Resolves when the system has accepted `piece`, or the connection is closed. */
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
  else
    for await (const chunk of source as AsyncIterable<Buffer | string>)
      yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
}
