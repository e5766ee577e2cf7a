/** All that a question can ask about the images of a chunk, in one buffer, and where the JSON of each stands in the chunk's part of the whole index. */
import { hash } from 'node:crypto';
import type { RefField } from '../query/query.ts';

/** Values of labels and annotations up to so many characters are kept; of longer ones a hash, which leads to the JSON. */
const MAX_KEPT_VALUE = 32;
/** Characters of the hash of a long value. */
const HASH_CHARACTERS = 12;
/** In front of the hash of a long value; no text of an image holds it. */
const LONG = '\0';

const IMAGE_WORDS = 10;
const HEADER_WORDS = 6;

/** A part of a segment's JSON, in bytes; `end` is not in it. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** An image as it is added to columns. */
export interface ColumnImage {
  readonly repository: string;
  /** Those of its list, where it is in one. */
  readonly tags: readonly string[];
  /** Tags with which Flatpak clients get another image of the same ref and architecture, by where they look for the ref. */
  readonly hidden: Readonly<Record<RefField, readonly string[]>>;
  readonly os: string;
  readonly architecture: string;
  /** `label:KEY` or `annotation:KEY`, and the value. */
  readonly pairs: Iterable<readonly [name: string, value: string]>;
  /** In the JSON of the lists where it is in a list, else in that of the entries. */
  readonly json: Range;
}

/** Gives each distinct text a number, in the order of their coming. */
class Numbers {
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
  readonly #strings = new Numbers();
  readonly #tagSets = new Numbers();
  readonly #lists: number[] = [];
  readonly #images: number[] = [];
  readonly #pairs: number[] = [];
  #list = 0;

  constructor() {
    this.#tagSets.of('[]');
  }

  /** The images that follow are in this list. @param head where its JSON up to its images stands */
  beginList(head: Range): void {
    this.#list = this.#lists.push(head.start, head.end) / 2;
  }

  /** The images that follow are tagged themselves. */
  endLists(): void {
    this.#list = 0;
  }

  add({ repository, tags, hidden, os, architecture, pairs, json }: ColumnImage): void {
    for (const [name, value] of pairs) this.#pairs.push(this.#strings.of(name), this.#strings.of(isLong(value) ? hashOf(value) : value));
    this.#images.push(
      this.#strings.of(repository), this.#list, this.#tagSet(tags), this.#tagSet(hidden.label), this.#tagSet(hidden.annotation), this.#strings.of(os), this.#strings.of(architecture),
      json.start, json.end, this.#pairs.length / 2,
    );
  }

  build(): Buffer {
    const tagSets = this.#tagSets.texts.map((set) => (JSON.parse(set) as string[]).map((tag) => this.#strings.of(tag)));
    const tags = tagSets.flat();
    const strings = this.#strings.texts.map((text) => Buffer.from(text));
    let end = 0;
    const ends = strings.map((text) => (end += text.length));
    end = 0;
    const tagSetEnds = tagSets.map((set) => (end += set.length));
    const words = Uint32Array.from([
      strings.length, tagSets.length, tags.length, this.#lists.length / 2, this.#images.length / IMAGE_WORDS, this.#pairs.length / 2,
      ...ends, ...tagSetEnds, ...tags, ...this.#lists, ...this.#images, ...this.#pairs,
    ]);
    return Buffer.concat([Buffer.from(words.buffer), ...strings]);
  }

  #tagSet(tags: readonly string[]): number {
    return this.#tagSets.of(JSON.stringify(tags));
  }
}

/** The value of a pair: itself, or the hash of a long one. */
export type KeptValue = { readonly text: string } | { readonly hash: string };

/** Reads columns. Images, lists and so on are numbers, counted from 0. */
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

  /** @param bytes as {@link ColumnsBuilder.build} returns them, aligned to 4 bytes in their `ArrayBuffer` */
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

  get imageCount(): number {
    return this.#word(4);
  }

  /** How many distinct sets of tags there are; the first is empty. */
  get tagSetCount(): number {
    return this.#word(1);
  }

  repositoryOf(image: number): number {
    return this.#word(this.#images + image * IMAGE_WORDS);
  }

  /** The number of its list, or -1. */
  listOf(image: number): number {
    return this.#word(this.#images + image * IMAGE_WORDS + 1) - 1;
  }

  tagSetOf(image: number): number {
    return this.#word(this.#images + image * IMAGE_WORDS + 2);
  }

  hiddenTagSetOf(image: number, field: RefField): number {
    return this.#word(this.#images + image * IMAGE_WORDS + (field === 'label' ? 3 : 4));
  }

  osOf(image: number): number {
    return this.#word(this.#images + image * IMAGE_WORDS + 5);
  }

  architectureOf(image: number): number {
    return this.#word(this.#images + image * IMAGE_WORDS + 6);
  }

  jsonOf(image: number): Range {
    const place = this.#images + image * IMAGE_WORDS;
    return { start: this.#word(place + 7), end: this.#word(place + 8) };
  }

  /** The JSON of a list up to its images. */
  headOf(list: number): Range {
    return { start: this.#word(this.#lists + list * 2), end: this.#word(this.#lists + list * 2 + 1) };
  }

  tags(tagSet: number): string[] {
    const from = tagSet === 0 ? 0 : this.#word(this.#tagSets + tagSet - 1);
    const to = this.#word(this.#tagSets + tagSet);
    return Array.from({ length: to - from }, (_, place) => this.string(this.#word(this.#tags + from + place)));
  }

  /** The value of the pair `name`, which is a number of {@link find}; `undefined` if the image has none. */
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

  string(number: number): string {
    let text = this.#decoded[number];
    if (text === undefined) {
      const from = number === 0 ? 0 : this.#word(this.#strings + number - 1);
      text = this.#bytes.toString('utf8', this.#text + from, this.#text + this.#word(this.#strings + number));
      this.#decoded[number] = text;
    }
    return text;
  }

  /** The number of a string, or -1. */
  find(text: string): number {
    const wanted = Buffer.from(text);
    const strings = this.#word(0);
    for (let number = 0, from = 0; number < strings; number++) {
      const to = this.#word(this.#strings + number);
      if (to - from === wanted.length && this.#bytes.compare(wanted, 0, wanted.length, this.#text + from, this.#text + to) === 0) return number;
      from = to;
    }
    return -1;
  }

  #word(place: number): number {
    return this.#words[place] as number;
  }
}

/** Says whether columns keep but a hash of a value. */
export function isLong(value: string): boolean {
  return value.length > MAX_KEPT_VALUE || value.startsWith(LONG);
}

/** What columns keep of a long value. */
export function hashOf(value: string): string {
  return LONG + hash('sha256', value, 'base64url').slice(0, HASH_CHARACTERS);
}
