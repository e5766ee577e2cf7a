/** All that a question can ask about the images of an index, in columns, and where the JSON of each stands in the document. */
import { hash } from 'node:crypto';
import type { Pairs } from '../render-image.ts';
import { Winners } from '../winners.ts';
import { Effort } from './effort.ts';
import { Glob, matches } from './glob.ts';
import type { Condition, Query } from './query.ts';
import { asksForRefs, REF_FIELDS } from './query.ts';

/** Values of labels and annotations up to so many characters are kept; of longer ones only a hash. */
const MAX_KEPT_VALUE = 128;

/** A part of the document, in bytes; `end` is not in it. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** Reads a part of the document. */
export type ReadRange = (range: Range) => Promise<Buffer>;

/** A table as JSON: `ImageTable.parse(table.serialize())` asks and answers the same. Columns hold one entry an image. */
interface Columns {
  repositories: string[];
  tagSets: string[][];
  systems: string[];
  architectures: string[];
  /** `label:` or `annotation:` and the key. */
  keys: string[];
  /** Of each pair: its key, its value or the hash of a long one, and for a hash an image that has it (else -1). */
  pairKeys: number[];
  pairValues: string[];
  pairImages: number[];
  lists: { head: string; tagSet: number }[];
  repository: number[];
  /** -1: tagged itself. */
  list: number[];
  tagSet: number[];
  /** The tags with which clients get the image that look for the ref in a label, or in an annotation. */
  won: { label: number[]; annotation: number[] };
  system: number[];
  architecture: number[];
  starts: number[];
  ends: number[];
  /** The pairs of image i are `pairs[pairsFrom[i]]` up to `pairs[pairsFrom[i + 1]]`. */
  pairsFrom: number[];
  pairs: number[];
}

/** Gives each distinct string a number, in the order of their coming. */
class Interned {
  readonly values: string[] = [];
  readonly #ids = new Map<string, number>();

  id(value: string): number {
    let id = this.#ids.get(value);
    if (id === undefined) {
      id = this.values.push(value) - 1;
      this.#ids.set(value, id);
    }
    return id;
  }
}

/** Builds a table image by image, in the order of the document. */
export class ImageTableBuilder {
  readonly #repositories = new Interned();
  readonly #tagSets = new Interned();
  readonly #systems = new Interned();
  readonly #architectures = new Interned();
  readonly #keys = new Interned();
  readonly #pairIds = new Map<string, number>();
  readonly #winners = { label: new Winners(), annotation: new Winners() };
  readonly #columns: Columns = {
    repositories: this.#repositories.values, tagSets: [], systems: this.#systems.values, architectures: this.#architectures.values,
    keys: this.#keys.values, pairKeys: [], pairValues: [], pairImages: [], lists: [],
    repository: [], list: [], tagSet: [], won: { label: [], annotation: [] }, system: [], architecture: [], starts: [], ends: [], pairsFrom: [0], pairs: [],
  };

  #listTags: readonly string[] = [];

  /** The images that follow are in this list; `head` is its JSON up to its images. */
  beginList(tags: readonly string[], head: string): void {
    this.#listTags = tags;
    this.#columns.lists.push({ head, tagSet: this.#tagSets.id(JSON.stringify(tags)) });
  }

  /** Adds an image; one without tags of its own is in the list that was begun last. */
  add(repository: string, tags: readonly string[] | undefined, image: { digest: string; os: string; architecture: string; labels: Pairs; annotations: Pairs }, range: Range): void {
    const columns = this.#columns;
    const ordinal = columns.starts.length;
    columns.repository.push(this.#repositories.id(repository));
    const list = columns.lists.length - 1;
    columns.list.push(tags === undefined ? list : -1);
    const tagSet = tags === undefined ? (columns.lists[list]?.tagSet ?? 0) : this.#tagSets.id(JSON.stringify(tags));
    columns.tagSet.push(tagSet);
    const contender = { repository, tags: tags ?? this.#listTags, digest: image.digest, os: image.os, architecture: image.architecture };
    for (const field of REF_FIELDS) {
      const pairs = field === 'label' ? image.labels : image.annotations;
      const won = this.#winners[field].add(contender, (key) => pairs.find(([name]) => name === key)?.[1]);
      columns.won[field].push(won === undefined || won === contender.tags ? tagSet : this.#tagSets.id(JSON.stringify(won)));
    }
    columns.system.push(this.#systems.id(image.os));
    columns.architecture.push(this.#architectures.id(image.architecture));
    columns.starts.push(range.start);
    columns.ends.push(range.end);
    for (const [key, value] of image.labels) columns.pairs.push(this.#pair(`label:${key}`, value, ordinal));
    for (const [key, value] of image.annotations) columns.pairs.push(this.#pair(`annotation:${key}`, value, ordinal));
    columns.pairsFrom.push(columns.pairs.length);
  }

  #pair(name: string, value: string, ordinal: number): number {
    const key = this.#keys.id(name);
    const long = isLong(value);
    const kept = long ? hashOf(value) : value;
    const identity = `${key}${long ? '#' : '='}${kept}`;
    let id = this.#pairIds.get(identity);
    if (id === undefined) {
      const { pairKeys, pairValues, pairImages } = this.#columns;
      id = pairKeys.push(key) - 1;
      pairValues.push(kept);
      pairImages.push(long ? ordinal : -1);
      this.#pairIds.set(identity, id);
    }
    return id;
  }

  /** See {@link Winners.contests}. */
  *contests(): Generator<string> {
    for (const field of REF_FIELDS) yield* this.#winners[field].contests();
  }

  build(): ImageTable {
    return new ImageTable({ ...this.#columns, tagSets: this.#tagSets.values.map((tags) => JSON.parse(tags) as string[]) });
  }
}

export class ImageTable {
  readonly #columns: Columns;

  constructor(columns: Columns) {
    this.#columns = columns;
  }

  static parse(json: string): ImageTable {
    return new ImageTable(JSON.parse(json) as Columns);
  }

  serialize(): string {
    return JSON.stringify(this.#columns);
  }

  /** How many images there are. */
  get size(): number {
    return this.#columns.starts.length;
  }

  /** How many images each repository has. */
  imagesByRepository(): ReadonlyMap<string, number> {
    const { repositories, repository } = this.#columns;
    const counts = new Map(repositories.map((name) => [name, 0]));
    for (const number of repository) counts.set(repositories[number] as string, (counts.get(repositories[number] as string) ?? 0) + 1);
    return counts;
  }

  /** The combinations of a tag and an architecture that occur, those with the most images first. */
  tagsAndArchitectures(): { readonly tag: string; readonly architecture: string }[] {
    const { tagSets, tagSet, architectures, architecture } = this.#columns;
    const combinations = new Map<string, { tag: string; architecture: string; images: number }>();
    for (const [image, set] of tagSet.entries()) {
      const name = at(architectures, at(architecture, image));
      for (const tag of at(tagSets, set)) {
        const key = `${tag}\0${name}`;
        const combination = combinations.get(key);
        if (combination === undefined) combinations.set(key, { tag, architecture: name, images: 1 });
        else combination.images++;
      }
    }
    return [...combinations].toSorted(([a, { images: more }], [b, { images: fewer }]) => fewer - more || (a < b ? -1 : 1)).map(([, combination]) => combination);
  }

  /** The images that fit `query`, by their place in the document. @throws QueryError if that takes too many steps; the reason of the effort's signal */
  async select(query: Query, read: ReadRange, effort: Effort = new Effort()): Promise<readonly number[]> {
    const { starts, tagSet, won } = this.#columns;
    let images: readonly number[] = starts.map((_, image) => image);
    // Who asks for refs would take one of several images that are the same by its place, and another one when the index grows.
    const tagColumns = asksForRefs(query).map((field) => won[field]);
    if (tagColumns.length === 0) tagColumns.push(tagSet);
    // What may have to read values looks only at what all others have left.
    for (const condition of query.conditions.toSorted((a, b) => costOf(a) - costOf(b))) images = await this.#filter(images, condition, tagColumns, read, effort);
    return images;
  }

  /**
   * The document with these images alone: texts, and parts to copy from the whole document.
   * `registry` is the `Registry` of the index.
   */
  compose(registry: string, images: readonly number[]): readonly (string | Range)[] {
    const columns = this.#columns;
    const parts: (string | Range)[] = [];
    let text = documentHead(registry);
    let [repository, list] = [-1, -1];
    for (const image of images) {
      const [itsRepository, itsList] = [at(columns.repository, image), at(columns.list, image)];
      const first = itsRepository !== repository;
      if (first) {
        if (repository !== -1) text += `${closeRepository(list)},`;
        text += repositoryHead(at(columns.repositories, itsRepository));
        [repository, list] = [itsRepository, -1];
      }
      if (itsList === list) text += first ? '' : ',';
      else {
        text += list === -1 ? LISTS_HEAD : `${LIST_END},`;
        text += at(columns.lists, itsList).head;
        list = itsList;
      }
      const range = { start: at(columns.starts, image), end: at(columns.ends, image) };
      const before = parts.at(-1);
      // Neighbours in the document are copied as one part, with the comma between them.
      if (text === ',' && typeof before === 'object' && before.end + 1 === range.start) parts[parts.length - 1] = { start: before.start, end: range.end };
      else parts.push(text, range);
      text = '';
    }
    parts.push(text + (repository === -1 ? '' : closeRepository(list)) + DOCUMENT_END);
    return parts;
  }

  async #filter(images: readonly number[], condition: Condition, tagColumns: readonly (readonly number[])[], read: ReadRange, effort: Effort): Promise<readonly number[]> {
    const columns = this.#columns;
    const among = (column: readonly number[], wanted: readonly boolean[]): readonly number[] => images.filter((image) => wanted[at(column, image)]);
    switch (condition.field) {
      case 'repository':
        return among(columns.repository, await decide(columns.repositories, condition, effort));
      case 'os':
        return among(columns.system, await decide(columns.systems, condition, effort));
      case 'architecture':
        return among(columns.architecture, await decide(columns.architectures, condition, effort));
      case 'tag': {
        const wanted: boolean[] = [];
        for (const tags of columns.tagSets) wanted.push((await decide(tags, condition, effort)).includes(true));
        return tagColumns.reduce((left, column) => left.filter((image) => wanted[at(column, image)]), images);
      }
      case 'label':
      case 'annotation':
        return this.#filterByPair(images, condition, read, effort);
    }
  }

  async #filterByPair(images: readonly number[], condition: Condition, read: ReadRange, effort: Effort): Promise<readonly number[]> {
    const { keys, pairKeys, pairs, pairsFrom } = this.#columns;
    const key = keys.indexOf(`${condition.field}:${condition.key ?? ''}`);
    if (key === -1) return [];
    const fits = this.#fittingPair(condition, read, effort);
    /** By pair; many images have the same. */
    const decided = new Map<number, boolean>();
    const left: number[] = [];
    for (const image of images) {
      const end = at(pairsFrom, image + 1);
      let i = at(pairsFrom, image);
      while (i < end && pairKeys[at(pairs, i)] !== key) i++;
      if (effort.spend(condition, 1 + i - at(pairsFrom, image))) await effort.turn();
      if (i === end) continue;
      const pair = at(pairs, i);
      let decision = decided.get(pair);
      if (decision === undefined) {
        const answer = fits(pair);
        decision = typeof answer === 'boolean' ? answer : await answer;
        decided.set(pair, decision);
      }
      if (decision) left.push(image);
    }
    return left;
  }

  /** Says whether the value of a pair with the condition's key fits; at once, unless a long value has to be read. */
  #fittingPair(condition: Condition, read: ReadRange, effort: Effort): (pair: number) => boolean | Promise<boolean> {
    if (condition.operator === 'exists') return () => true;
    const { pairValues, pairImages } = this.#columns;
    const fits = fitting(condition, effort);
    const hashes = new Set(condition.values.filter(isLong).map(hashOf));
    return (pair) => {
      const image = at(pairImages, pair);
      if (image === -1) return fits(at(pairValues, pair));
      return condition.operator === 'is' ? hashes.has(at(pairValues, pair)) : this.#valueOf(image, condition, read, effort).then(fits);
    };
  }

  /** A value of which only the hash is kept, out of the document. */
  async #valueOf(image: number, condition: Condition, read: ReadRange, effort: Effort): Promise<string> {
    const { starts, ends } = this.#columns;
    const range = { start: at(starts, image), end: at(ends, image) };
    if (effort.spend(condition, range.end - range.start)) await effort.turn();
    const json = await read(range);
    const { Labels, Annotations } = JSON.parse(json.toString()) as Record<'Labels' | 'Annotations', Record<string, string>>;
    return (condition.field === 'label' ? Labels : Annotations)[condition.key ?? ''] ?? '';
  }
}

/** The JSON of an index up to its repositories. */
export function documentHead(registry: string): string {
  return `{"Registry":${JSON.stringify(registry)},"Results":[`;
}
export const DOCUMENT_END = ']}';

/** The JSON of a repository up to its images. */
export function repositoryHead(name: string): string {
  return `{"Name":${JSON.stringify(name)},"Images":[`;
}
/** Between a repository's images and its lists. */
export const LISTS_HEAD = '],"Lists":[';
export const LIST_END = ']}';
export const REPOSITORY_END = ']}';

function closeRepository(list: number): string {
  return (list === -1 ? LISTS_HEAD : LIST_END) + REPOSITORY_END;
}

/** Says whether a value is kept as its hash. */
function isLong(value: string): boolean {
  return value.length > MAX_KEPT_VALUE;
}

function hashOf(value: string): string {
  return hash('sha256', value, 'base64url');
}

/** Cheap ones first: columns, then pairs, then pairs whose values may have to be read. */
function costOf({ field, operator }: Condition): number {
  return Number(field === 'label' || field === 'annotation') + Number(operator === 'matches');
}

/** Says of each of `values` whether it fits. */
async function decide(values: readonly string[], condition: Condition, effort: Effort): Promise<boolean[]> {
  const fits = fitting(condition, effort);
  const decisions: boolean[] = [];
  for (const value of values) {
    const decision = fits(value);
    decisions.push(typeof decision === 'boolean' ? decision : await decision);
    if (effort.spend(condition, 1)) await effort.turn();
  }
  return decisions;
}

/** Says whether a value fits; at once, unless it is long. */
function fitting(condition: Condition, effort: Effort): (value: string) => boolean | Promise<boolean> {
  if (condition.operator !== 'matches') {
    const alternatives = new Set(condition.values);
    return (value) => alternatives.has(value);
  }
  const globs = condition.values.map((pattern) => new Glob(pattern));
  const steps = (glob: Glob, value: string): boolean => effort.spend(condition, glob.steps(value));
  return (value) => {
    if (isLong(value)) return fitsLong(globs, value, steps, effort);
    return globs.some((glob) => {
      steps(glob, value);
      return matches(glob, value);
    });
  };
}

async function fitsLong(globs: readonly Glob[], value: string, steps: (glob: Glob, value: string) => boolean, effort: Effort): Promise<boolean> {
  for (const glob of globs) {
    if (steps(glob, value)) await effort.turn();
    const comparing = glob.compare(value);
    for (;;) {
      const { done, value: fits } = comparing.next();
      if (done !== true) await effort.turn();
      else if (fits) return true;
      else break;
    }
  }
  return false;
}

function at<T>(column: readonly T[], index: number): T {
  const value = column[index];
  if (value === undefined) throw new RangeError(`the index table has no entry ${index}`);
  return value;
}
