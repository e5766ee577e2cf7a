/**
 * Columns: everything that questions can ask about a chunk's images, in one buffer, with the place of each image's JSON
 * in the whole part.
 */
import { hash } from 'node:crypto';
import type { RefField } from '../query/query.ts';

/** Values of labels and annotations up to this length are kept; longer ones as a hash, and compared with the JSON. */
const MAX_KEPT_VALUE = 32;
/** Length of the hash of a long value, in characters. */
const HASH_CHARACTERS = 12;
/** Prefix of the hash of a long value. A value that begins with it is always hashed. */
const LONG = '\0';

/** 32-bit words of an image, and of the header. */
const IMAGE_WORDS = 10;
const HEADER_WORDS = 6;

/** A byte range of a segment's JSON; `end` is exclusive. */
export interface JsonRange {
  readonly start: number;
  readonly end: number;
}

/** An image as it is added to columns. */
export interface ColumnImage {
  readonly repository: string;
  /** Its own tags, or those of its list. */
  readonly tags: readonly string[];
  /**
   * Tags for which Flatpak clients get another image of the same ref and architecture, by where they look for the ref.
   */
  readonly hidden: Readonly<Record<RefField, readonly string[]>>;
  readonly os: string;
  readonly architecture: string;
  /** Names (`label:KEY` or `annotation:KEY`) with their values. */
  readonly pairs: Iterable<readonly [name: string, value: string]>;
  /** Place in the JSON of the entries; in a slice, in that of the lists if it is in a list. */
  readonly json: JsonRange;
}

/** Numbers distinct texts in the order in which they are added. */
class TextNumbers {
  readonly texts: string[] = [];
  readonly #numbers = new Map<string, number>();

  of(text: string): number {
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.texts.push(text) - 1;
      this.#numbers.set(text, number);
    }
    return number;
  }
}

/** Builds columns image by image, in the order of the document. */
export class ColumnsBuilder {
  readonly #strings = new TextNumbers();
  readonly #tagSets = new TextNumbers();
  readonly #lists: number[] = [];
  readonly #images: number[] = [];
  readonly #pairs: number[] = [];
  #list = 0;

  constructor() {
    this.#tagSets.of('[]');
  }

  /**
   * Begins a list, to which the following images belong.
   * @param head place of its JSON up to its images
   */
  beginList(head: JsonRange): void {
    this.#list = this.#lists.push(head.start, head.end) / 2;
  }

  /** Ends the last list: the following images have tags of their own. */
  endLists(): void {
    this.#list = 0;
  }

  /** Adds the next image. */
  add({ repository, tags, hidden, os, architecture, pairs, json }: ColumnImage): void {
    for (const [name, value] of pairs)
      this.#pairs.push(this.#strings.of(name), this.#strings.of(isLong(value) ? hashOf(value) : value));
    this.#images.push(
      this.#strings.of(repository),
      this.#list,
      this.#tagSet(tags),
      this.#tagSet(hidden.label),
      this.#tagSet(hidden.annotation),
      this.#strings.of(os),
      this.#strings.of(architecture),
      json.start,
      json.end,
      this.#pairs.length / 2,
    );
  }

  /** Returns the encoded columns. */
  build(): Buffer {
    const tagSets = this.#tagSets.texts.map((set) => (JSON.parse(set) as string[]).map((tag) => this.#strings.of(tag)));
    const tags = tagSets.flat();
    const strings = this.#strings.texts.map((text) => Buffer.from(text));
    let end = 0;
    const ends = strings.map((text) => (end += text.length));
    end = 0;
    const tagSetEnds = tagSets.map((set) => (end += set.length));
    const words = Uint32Array.from([
      strings.length,
      tagSets.length,
      tags.length,
      this.#lists.length / 2,
      this.#images.length / IMAGE_WORDS,
      this.#pairs.length / 2,
      ...ends,
      ...tagSetEnds,
      ...tags,
      ...this.#lists,
      ...this.#images,
      ...this.#pairs,
    ]);
    return Buffer.concat([Buffer.from(words.buffer), ...strings]);
  }

  #tagSet(tags: readonly string[]): number {
    return this.#tagSets.of(JSON.stringify(tags));
  }
}

/** Value of a label or annotation, or the hash of a long one. */
export type KeptValue = { readonly text: string } | { readonly hash: string };

/** Reads columns. Repositories, images, lists, tag sets and strings are numbers, counted from 0. */
export class Columns {
  readonly #words: Uint32Array;
  readonly #bytes: Buffer;
  readonly #strings: number;
  readonly #tagSets: number;
  readonly #tags: number;
  readonly #lists: number;
  readonly #images: number;
  readonly #pairs: number;
  readonly #text: number;
  readonly #decoded: string[] = [];

  /** @param bytes as {@link ColumnsBuilder.build} returns them, aligned to 4 bytes within their `ArrayBuffer` */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    const header = new Uint32Array(bytes.buffer, bytes.byteOffset, HEADER_WORDS);
    const [strings = 0, tagSets = 0, tags = 0, lists = 0, images = 0, pairs = 0] = header;
    this.#strings = HEADER_WORDS;
    this.#tagSets = this.#strings + strings;
    this.#tags = this.#tagSets + tagSets;
    this.#lists = this.#tags + tags;
    this.#images = this.#lists + lists * 2;
    this.#pairs = this.#images + images * IMAGE_WORDS;
    const words = this.#pairs + pairs * 2;
    this.#text = words * 4;
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, words);
  }

  /** Number of images. */
  get imageCount(): number {
    return this.#word(4);
  }

  /** Number of distinct sets of tags; the first is empty. */
  get tagSetCount(): number {
    return this.#word(1);
  }

  /** Returns the string number of its repository. */
  repositoryOf(image: number): number {
    return this.#word(this.#images + image * IMAGE_WORDS);
  }

  /** Returns the number of its list, or -1. */
  listOf(image: number): number {
    return this.#word(this.#images + image * IMAGE_WORDS + 1) - 1;
  }

  /** Returns its set of tags. */
  tagSetOf(image: number): number {
    return this.#word(this.#images + image * IMAGE_WORDS + 2);
  }

  /** Returns the set of tags for which clients get another image. */
  hiddenTagSetOf(image: number, field: RefField): number {
    return this.#word(this.#images + image * IMAGE_WORDS + (field === 'label' ? 3 : 4));
  }

  /** Returns the string number of its system. */
  osOf(image: number): number {
    return this.#word(this.#images + image * IMAGE_WORDS + 5);
  }

  /** Returns the string number of its architecture. */
  architectureOf(image: number): number {
    return this.#word(this.#images + image * IMAGE_WORDS + 6);
  }

  /** Returns the place of its JSON. */
  jsonOf(image: number): JsonRange {
    const place = this.#images + image * IMAGE_WORDS;
    return { start: this.#word(place + 7), end: this.#word(place + 8) };
  }

  /** Returns the place of a list's JSON up to its images. */
  headOf(list: number): JsonRange {
    return { start: this.#word(this.#lists + list * 2), end: this.#word(this.#lists + list * 2 + 1) };
  }

  /** Decodes a set of tags. */
  tags(tagSet: number): string[] {
    const from = tagSet === 0 ? 0 : this.#word(this.#tagSets + tagSet - 1);
    const to = this.#word(this.#tagSets + tagSet);
    return Array.from({ length: to - from }, (_, place) => this.string(this.#word(this.#tags + from + place)));
  }

  /**
   * Returns an image's value of a label or annotation.
   * @param name its string number, see {@link find}
   */
  valueOf(image: number, name: number): KeptValue | undefined {
    const from = image === 0 ? 0 : this.#word(this.#images + image * IMAGE_WORDS - 1);
    const to = this.#word(this.#images + image * IMAGE_WORDS + 9);
    for (let pair = from; pair < to; pair++) {
      if (this.#word(this.#pairs + pair * 2) !== name) continue;
      const text = this.string(this.#word(this.#pairs + pair * 2 + 1));
      return text.startsWith(LONG) ? { hash: text } : { text };
    }
    return undefined;
  }

  /** Returns the string with this number. */
  string(number: number): string {
    let text = this.#decoded[number];
    if (text === undefined) {
      const from = number === 0 ? 0 : this.#word(this.#strings + number - 1);
      text = this.#bytes.toString('utf8', this.#text + from, this.#text + this.#word(this.#strings + number));
      this.#decoded[number] = text;
    }
    return text;
  }

  /** Returns the number of a string, or -1. */
  find(text: string): number {
    const wanted = Buffer.from(text);
    const strings = this.#word(0);
    for (let number = 0, from = 0; number < strings; number++) {
      const to = this.#word(this.#strings + number);
      if (
        to - from === wanted.length &&
        this.#bytes.compare(wanted, 0, wanted.length, this.#text + from, this.#text + to) === 0
      )
        return number;
      from = to;
    }
    return -1;
  }

  #word(place: number): number {
    return this.#words[place] as number;
  }
}

/** Says whether columns keep only a hash of a value. */
export function isLong(value: string): boolean {
  return value.length > MAX_KEPT_VALUE || value.startsWith(LONG);
}

/** Returns the hash that columns keep of a long value. */
export function hashOf(value: string): string {
  return LONG + hash('sha256', value, 'base64url').slice(0, HASH_CHARACTERS);
}
