/** Bodies of documents, which are joined from parts and may have to be read from the store. */
import { Readable } from 'node:stream';
import { LRUCache } from 'lru-cache';
import { type Deflated, gzipMember, inflate, inflateInPieces } from '../../indexing/chunk/gzip-member.ts';

/** Bodies up to so many bytes are joined once and cached; larger ones are sent part by part. */
export const MAX_JOINED = 1024 * 1024;
/** Bytes of a larger body that are sent together. */
const SENT_AT_ONCE = 64 * 1024;
/** Bytes of cached joined bodies. */
const MAX_JOINED_BYTES = 16 * 1024 * 1024;

/** A body that may have to be read from the store. */
export interface StoredBody {
  /** Bytes. */
  readonly length: number;
  read(): Promise<Buffer>;
  stream(): Readable;
}

/** Cache of joined bodies; the least recently used are removed. */
export class JoinedBodies {
  readonly #bodies: LRUCache<StoredBody, Promise<Buffer>>;

  constructor(maxBytes: number = MAX_JOINED_BYTES) {
    this.#bodies = new LRUCache({ maxSize: maxBytes, sizeCalculation: (_, { length }) => length + 1 });
  }

  /** Returns the joined body, from the cache if it is there. */
  get(body: StoredBody, join: () => Promise<Buffer>): Promise<Buffer> {
    let joined = this.#bodies.get(body);
    if (joined === undefined) {
      joined = join();
      joined.catch(() => this.#bodies.delete(body));
      this.#bodies.set(body, joined);
    }
    return joined;
  }
}

/** Body of a gzip document that is made of `pieces`. */
export function gzipBody(pieces: readonly Deflated[], joined: JoinedBodies): StoredBody {
  const parts = gzipMember(pieces);
  return new PiecedBody(
    parts.reduce((sum, { size }) => sum + size, 0),
    parts,
    {
      whole: ({ bytes }) => bytes(),
      pieces: async function* ({ bytes }) {
        yield await bytes();
      },
    },
    joined,
  );
}

/** Body of an uncompressed document of `length` bytes. */
export function identityBody(pieces: readonly Deflated[], length: number, joined: JoinedBodies): StoredBody {
  return new PiecedBody(length, pieces, { whole: inflate, pieces: inflateInPieces }, joined);
}

/** Reads one part of a body. */
interface ReadPart<Part> {
  readonly whole: (part: Part) => Buffer | Promise<Buffer>;
  readonly pieces: (part: Part) => AsyncIterable<Buffer>;
}

/** A body in parts, each read when it is sent. */
class PiecedBody<Part> implements StoredBody {
  readonly length: number;
  readonly #parts: readonly Part[];
  readonly #readPart: ReadPart<Part>;
  readonly #joined: JoinedBodies;

  constructor(length: number, parts: readonly Part[], readPart: ReadPart<Part>, joined: JoinedBodies) {
    this.length = length;
    this.#parts = parts;
    this.#readPart = readPart;
    this.#joined = joined;
  }

  read(): Promise<Buffer> {
    return this.length > MAX_JOINED ? this.#join() : this.#joined.get(this, () => this.#join());
  }

  stream(): Readable {
    return Readable.from(this.#pieces(), { objectMode: false });
  }

  async #join(): Promise<Buffer> {
    const buffers: Buffer[] = [];
    for (const part of this.#parts) buffers.push(await this.#readPart.whole(part));
    return Buffer.concat(buffers);
  }

  /** Yields the bytes in order, small parts joined. */
  async *#pieces(): AsyncGenerator<Buffer> {
    let waiting: Buffer[] = [];
    let bytes = 0;
    for (const part of this.#parts) {
      for await (const piece of this.#readPart.pieces(part)) {
        waiting.push(piece);
        bytes += piece.length;
        if (bytes < SENT_AT_ONCE) continue;
        yield Buffer.concat(waiting);
        waiting = [];
        bytes = 0;
      }
    }
    yield Buffer.concat(waiting);
  }
}
