/** Parts of answers that chunks contribute, and how they are joined to one document. */
import { createHash, hash } from 'node:crypto';
import { DOCUMENT_END, documentHead, LISTS_HEAD, REPOSITORY_END, repositoryHead } from '../render/document.ts';
import type { Deflated } from './gzip-member.ts';
import { deflate, stored } from './gzip-member.ts';

/** Length of a SHA-256, in bytes. */
export const HASH_BYTES = 32;
/** Version of the output; raised whenever the same images are written in another way. */
export const FORMAT_NUMBER = 4;
/** {@link FORMAT_NUMBER} as publications name it. */
export const FORMAT: string = formatOf(FORMAT_NUMBER);

/** Returns the name of a format in publications. */
export function formatOf(number: number): string {
  return `regindexer ${number}`;
}
/** Compression level of zlib: 6 takes about twice as long and saves one to ten percent. */
const LEVEL = 5;

/** JSON of entries, separated by commas. */
export interface Segment extends Deflated {
  /** Hashes of the entries, {@link HASH_BYTES} each. */
  readonly hashes: Buffer;
}

/** A chunk's part of one answer; each segment may be empty. */
export interface ChunkPart {
  /** Number of images. */
  readonly images: number;
  /** Repositories; in a slice of one repository, its images. */
  readonly entries: Segment;
  /** Lists, in a slice of one repository only. */
  readonly lists?: Segment | undefined;
}

/** Part of a chunk that has no matching images. */
export const EMPTY_PART: ChunkPart = {
  images: 0,
  entries: { size: 0, length: 0, crc: 0, hashes: Buffer.alloc(0), bytes: () => Buffer.alloc(0) },
};

/** A part with the repository that its chunk is a slice of, if it is one. */
export interface PlacedPart {
  readonly part: ChunkPart;
  readonly slice: string | undefined;
}

/** JSON of an image, a list or a repository, with its hash. */
export interface Entry {
  readonly json: string;
  readonly hash: Buffer;
}

/** Joins and compresses entries. */
export async function segmentOf(entries: readonly Entry[]): Promise<Segment> {
  const deflated = await deflate(Buffer.from(entries.map(({ json }) => json).join(',')), LEVEL);
  return { ...deflated, hashes: Buffer.concat(entries.map((entry) => entry.hash)) };
}

/** Creates an entry whose hash is that of its bytes. */
export function entryOf(json: string): Entry {
  return { json, hash: hash('sha256', json, 'buffer') };
}

/** Hashes a repository from the hashes of its images and lists: the result does not depend on cuts. */
export function hashOfRepository(name: string, images: readonly Buffer[], lists: readonly Buffer[]): Buffer {
  const hashed = createHash('sha256').update(JSON.stringify([name, images.length, lists.length]));
  for (const entry of images) hashed.update(entry);
  for (const entry of lists) hashed.update(entry);
  return hashed.digest();
}

/** A whole document, in compressed pieces. */
export interface JoinedDocument {
  /** Number of images. */
  readonly images: number;
  /** Uncompressed length, in bytes. */
  readonly length: number;
  readonly pieces: readonly Deflated[];
  /** Entity tag, in base64url: changes exactly if `Registry` or the content of a repository does. */
  readonly tag: string;
}

const COMMA = stored(',');

/**
 * Joins the parts of all chunks of an index, in order.
 * @param registry its `Registry`
 */
export function joinParts(registry: string, parts: readonly PlacedPart[]): JoinedDocument {
  const joined = new Joined(registry);
  for (let place = 0; place < parts.length;) {
    const { part, slice } = parts[place] as PlacedPart;
    let next = place + 1;
    if (slice === undefined) joined.add(part);
    else {
      while (parts[next]?.slice === slice) next++;
      joined.addSlices(
        slice,
        parts.slice(place, next).map((placed) => placed.part),
      );
    }
    place = next;
  }
  return joined.end();
}

class Joined {
  readonly #pieces: Deflated[];
  readonly #hash = createHash('sha256');
  #images = 0;
  #length: number;
  #first = true;

  constructor(registry: string) {
    const head = stored(documentHead(registry));
    this.#pieces = [head];
    this.#length = head.length;
    this.#hash.update(JSON.stringify([FORMAT, registry]));
  }

  add(part: ChunkPart): void {
    if (part.images === 0) return;
    this.#beginRepositories(part.images);
    this.#push(part.entries);
    this.#hash.update(part.entries.hashes);
  }

  /** Adds a large repository from its slices. */
  addSlices(name: string, slices: readonly ChunkPart[]): void {
    const images = slices.reduce((sum, part) => sum + part.images, 0);
    if (images === 0) return;
    this.#beginRepositories(images);
    const entries = slices.map((part) => part.entries);
    const lists = slices.flatMap((part) => part.lists ?? []);
    this.#push(stored(repositoryHead(name)));
    this.#pushJoined(entries);
    this.#push(stored(LISTS_HEAD));
    this.#pushJoined(lists);
    this.#push(stored(REPOSITORY_END));
    this.#hash.update(hashOfRepository(name, hashesOf(entries), hashesOf(lists)));
  }

  end(): JoinedDocument {
    this.#push(stored(DOCUMENT_END));
    return { images: this.#images, length: this.#length, pieces: this.#pieces, tag: this.#hash.digest('base64url') };
  }

  #beginRepositories(images: number): void {
    if (!this.#first) this.#push(COMMA);
    this.#first = false;
    this.#images += images;
  }

  #pushJoined(segments: readonly Segment[]): void {
    for (const [place, segment] of segments.filter(({ length }) => length > 0).entries()) {
      if (place > 0) this.#push(COMMA);
      this.#push(segment);
    }
  }

  #push(piece: Deflated): void {
    this.#pieces.push(piece);
    this.#length += piece.length;
  }
}

function hashesOf(segments: readonly Segment[]): Buffer[] {
  return segments.flatMap(({ hashes }) =>
    Array.from({ length: hashes.length / HASH_BYTES }, (_, place) =>
      hashes.subarray(place * HASH_BYTES, (place + 1) * HASH_BYTES),
    ),
  );
}
