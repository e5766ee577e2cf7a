/** The part that a chunk has in an answer, and how parts become one document. */
import { createHash, hash } from 'node:crypto';
import { DOCUMENT_END, documentHead, LISTS_HEAD, REPOSITORY_END, repositoryHead } from '../render/document.ts';
import type { Deflated } from './gzip-member.ts';
import { deflate, stored } from './gzip-member.ts';

/** Bytes of a SHA-256. */
export const HASH_BYTES = 32;
/** Changes whenever the same images would be written in another way. */
export const FORMAT = 'regindexer 2';
/** Compression level of zlib: 6 takes about twice as long and saves one to ten percent. */
const LEVEL = 5;

/** JSON of entries, separated by commas. */
export interface Segment extends Deflated {
  /** The hashes of the entries, {@link HASH_BYTES} each. */
  readonly hashes: Buffer;
}

/** What a chunk shows in one answer; each segment may be empty. */
export interface ChunkPart {
  readonly images: number;
  /** Whole repositories; in a slice of one repository, its images. */
  readonly entries: Segment;
  /** In a slice of one repository, its lists. */
  readonly lists?: Segment | undefined;
}

/** What a chunk shows where it shows nothing. */
export const EMPTY_PART: ChunkPart = { images: 0, entries: { size: 0, length: 0, crc: 0, hashes: Buffer.alloc(0), bytes: () => Buffer.alloc(0) } };

/** A part, and the repository of which its chunk is a slice, if it is one. */
export interface PlacedPart {
  readonly part: ChunkPart;
  readonly slice: string | undefined;
}

/** One entry: its JSON, and its hash. */
export interface Entry {
  readonly json: string;
  readonly hash: Buffer;
}

export async function segmentOf(entries: readonly Entry[]): Promise<Segment> {
  const deflated = await deflate(Buffer.from(entries.map(({ json }) => json).join(',')), LEVEL);
  return { ...deflated, hashes: Buffer.concat(entries.map((entry) => entry.hash)) };
}

/** An entry whose hash is that of its bytes. */
export function entryOf(json: string): Entry {
  return { json, hash: hash('sha256', json, 'buffer') };
}

/** The hash of a repository from those of its images and lists: the same, however the repository is cut. */
export function hashOfRepository(name: string, images: readonly Buffer[], lists: readonly Buffer[]): Buffer {
  const hashed = createHash('sha256').update(JSON.stringify([name, images.length, lists.length]));
  for (const entry of images) hashed.update(entry);
  for (const entry of lists) hashed.update(entry);
  return hashed.digest();
}

/** A whole document: what it consists of, and what names its content. */
export interface JoinedDocument {
  readonly images: number;
  /** Of the document without compression, in bytes. */
  readonly length: number;
  readonly pieces: readonly Deflated[];
  /** Base64url: changes exactly if `Registry` or the content of a repository does. */
  readonly tag: string;
}

const COMMA = stored(',');

/** Puts the parts of all chunks of an index, in their order, together. @param registry its `Registry` */
export function joinParts(registry: string, parts: readonly PlacedPart[]): JoinedDocument {
  const joined = new Joined(registry);
  for (let place = 0; place < parts.length; ) {
    const { part, slice } = parts[place] as PlacedPart;
    let next = place + 1;
    if (slice === undefined) joined.add(part);
    else {
      while (parts[next]?.slice === slice) next++;
      joined.addSlices(slice, parts.slice(place, next).map((placed) => placed.part));
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

  /** A repository out of its slices. */
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
  return segments.flatMap(({ hashes }) => Array.from({ length: hashes.length / HASH_BYTES }, (_, place) => hashes.subarray(place * HASH_BYTES, (place + 1) * HASH_BYTES)));
}
