/** Answers a question from one chunk: makes the chunk's part of the answer. */
import type { Chunk } from '../chunk/chunk.ts';
import { type Columns, hashOf, isLong, type JsonRange, type KeptValue } from '../chunk/columns.ts';
import { inflate } from '../chunk/gzip-member.ts';
import { EMPTY_PART, entryOf, type ChunkPart } from '../chunk/part.ts';
import { partOf, type SelectedEntries } from '../chunk/render-chunk.ts';
import type { Effort } from './effort.ts';
import { Glob, matches } from './query-glob.ts';
import { asksForRefs, type Condition, type Query, type RefField } from './query.ts';

/** Longest value, in characters, that is compared without giving way to other work. */
const MAX_AT_ONCE = 128;

/** A condition with its test of a value. */
interface Asked {
  readonly condition: Condition;
  /** Says whether a value fits; a promise only for long values. */
  readonly fitting: (value: string) => boolean | Promise<boolean>;
}

/**
 * Prepares `query`; the function it returns makes a chunk's part of the answer.
 * @throws QueryError and the signal's reason, as {@link Effort} does
 */
export function prepareQuery(query: Query, effort: Effort): (chunk: Chunk) => Promise<ChunkPart> {
  const refFields = asksForRefs(query);
  // Conditions that may have to read values come last.
  const asked = query.conditions
    .toSorted((a, b) => costOf(a) - costOf(b))
    .map((condition): Asked => ({ condition, fitting: fittingValue(condition, effort) }));
  const repositories = query.conditions.find(({ field }) => field === 'repository')?.values;
  const wanted = repositories && new Set(repositories);
  return async (chunk) => {
    // Skips most chunks without their columns: such questions are about few repositories.
    if (wanted !== undefined && !chunk.repositories.some(({ name }) => wanted.has(name))) return EMPTY_PART;
    const columns = chunk.columns();
    const json = new ChunkJson(chunk, columns);
    const fits = await conditionsOf(asked, columns, json, refFields, effort);
    if (fits === undefined) return EMPTY_PART;
    const images: number[] = [];
    for (let image = 0; image < columns.imageCount; image++) {
      const answer = fits(image);
      if (typeof answer === 'boolean' ? answer : await answer) images.push(image);
    }
    if (images.length === 0) return EMPTY_PART;
    if (images.length === columns.imageCount) return chunk.whole;
    return partOf(await selected(columns, chunk.slice, images, json), chunk.slice !== undefined);
  };
}

/** Says whether an image fits. */
type Fits = (image: number) => boolean | Promise<boolean>;

/** Combines all conditions; `undefined` if one of them holds for no image of the chunk. */
async function conditionsOf(
  asked: readonly Asked[],
  columns: Columns,
  json: ChunkJson,
  refFields: readonly RefField[],
  effort: Effort,
): Promise<Fits | undefined> {
  const all: Fits[] = [];
  for (const one of asked) {
    const fits = await conditionOf(one, columns, json, refFields, effort);
    if (fits === undefined) return undefined;
    all.push(fits);
  }
  return (image) => {
    for (const [place, fits] of all.entries()) {
      const answer = fits(image);
      if (answer === false) return false;
      if (answer !== true) return every(answer, all.slice(place + 1), image);
    }
    return true;
  };
}

async function every(first: Promise<boolean>, others: readonly Fits[], image: number): Promise<boolean> {
  if (!(await first)) return false;
  for (const fits of others) if (!(await fits(image))) return false;
  return true;
}

/** Prepares one condition; `undefined` if it holds for no image of the chunk. */
async function conditionOf(
  asked: Asked,
  columns: Columns,
  json: ChunkJson,
  refFields: readonly RefField[],
  effort: Effort,
): Promise<Fits | undefined> {
  switch (asked.condition.field) {
    case 'repository':
      return numberCondition((image) => columns.repositoryOf(image), columns, asked.fitting);
    case 'os':
      return numberCondition((image) => columns.osOf(image), columns, asked.fitting);
    case 'architecture':
      return numberCondition((image) => columns.architectureOf(image), columns, asked.fitting);
    case 'tag':
      return tagCondition(asked, columns, refFields, effort);
    case 'label':
    case 'annotation':
      return pairCondition(asked, columns, json, effort);
  }
}

/** Prepares a condition on tags. In a question for refs, tags for which clients get another image do not count. */
async function tagCondition(
  { condition, fitting }: Asked,
  columns: Columns,
  refFields: readonly RefField[],
  effort: Effort,
): Promise<Fits | undefined> {
  const sets: string[][] = [];
  for (let set = 0; set < columns.tagSetCount; set++) {
    const fits: string[] = [];
    for (const tag of columns.tags(set)) if (await fitting(tag)) fits.push(tag);
    if (effort.spend(condition, 1)) await effort.turn();
    sets.push(fits);
  }
  if (sets.every((tags) => tags.length === 0)) return undefined;
  return (image) => {
    const tags = sets[columns.tagSetOf(image)] ?? [];
    if (tags.length === 0) return false;
    return refFields.every((field) => {
      const hidden = sets[columns.hiddenTagSetOf(image, field)] ?? [];
      return tags.some((tag) => !hidden.includes(tag));
    });
  };
}

/** Prepares a condition on a label or an annotation. */
function pairCondition(
  { condition, fitting }: Asked,
  columns: Columns,
  json: ChunkJson,
  effort: Effort,
): Fits | undefined {
  const name = columns.find(`${condition.field}:${condition.key ?? ''}`);
  if (name === -1) return undefined;
  if (condition.operator === 'exists') return (image) => columns.valueOf(image, name) !== undefined;
  const hashes = new Set(condition.values.filter(isLong).map(hashOf));
  /** Results by value or hash, which many images share. */
  const decided = new Map<string, boolean>();
  const decide = async (image: number, value: KeptValue): Promise<boolean> => {
    if ('text' in value) return fitting(value.text);
    if (condition.operator === 'is' && !hashes.has(value.hash)) return false;
    const { start, end } = columns.jsonOf(image);
    if (effort.spend(condition, end - start)) await effort.turn();
    return fitting(await json.value(image, condition));
  };
  return async (image) => {
    if (effort.spend(condition, 1)) await effort.turn();
    const value = columns.valueOf(image, name);
    if (value === undefined) return false;
    const key = 'text' in value ? value.text : value.hash;
    const known = decided.get(key);
    if (known !== undefined) return known;
    const fits = await decide(image, value);
    // Two long values may share a hash: it proves only that a value does not fit.
    if ('text' in value || condition.operator !== 'is') decided.set(key, fits);
    return fits;
  };
}

/** Prepares a condition on a numbered text; tests each distinct text once. */
async function numberCondition(
  numberOf: (image: number) => number,
  columns: Columns,
  fitting: (value: string) => boolean | Promise<boolean>,
): Promise<Fits | undefined> {
  const decided = new Map<number, boolean>();
  for (let image = 0; image < columns.imageCount; image++) {
    const number = numberOf(image);
    if (!decided.has(number)) decided.set(number, await fitting(columns.string(number)));
  }
  return [...decided.values()].includes(true) ? (image) => decided.get(numberOf(image)) === true : undefined;
}

/** Orders conditions by cost: columns, then labels and annotations, then those whose long values have to be read. */
function costOf({ field, operator }: Condition): number {
  return Number(field === 'label' || field === 'annotation') + Number(operator === 'matches');
}

/** Returns the test of a condition's values. */
function fittingValue(condition: Condition, effort: Effort): (value: string) => boolean | Promise<boolean> {
  if (condition.operator !== 'matches') {
    const alternatives = new Set(condition.values);
    return (value) => alternatives.has(value);
  }
  const globs = condition.values.map((pattern) => new Glob(pattern));
  return (value) => {
    if (value.length > MAX_AT_ONCE) return fitsLong(globs, value, condition, effort);
    return globs.some((glob) => {
      effort.spend(condition, glob.steps(value));
      return matches(glob, value);
    });
  };
}

async function fitsLong(globs: readonly Glob[], value: string, condition: Condition, effort: Effort): Promise<boolean> {
  for (const glob of globs) {
    if (effort.spend(condition, glob.steps(value))) await effort.turn();
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

/** The JSON of a chunk's whole part, inflated when it is first needed. */
class ChunkJson {
  readonly #chunk: Chunk;
  readonly #columns: Columns;
  #entries: Promise<Buffer> | undefined;
  #lists: Promise<Buffer> | undefined;

  constructor(chunk: Chunk, columns: Columns) {
    this.#chunk = chunk;
    this.#columns = columns;
  }

  async text(range: JsonRange, inList: boolean): Promise<string> {
    const { whole, slice } = this.#chunk;
    const lists = inList && slice !== undefined ? whole.lists : undefined;
    const json = await (lists === undefined
      ? (this.#entries ??= inflate(whole.entries))
      : (this.#lists ??= inflate(lists)));
    return json.toString('utf8', range.start, range.end);
  }

  image(image: number): Promise<string> {
    return this.text(this.#columns.jsonOf(image), this.#columns.listOf(image) !== -1);
  }

  /** Returns a value of which columns keep only the hash. */
  async value(image: number, { field, key = '' }: Condition): Promise<string> {
    const { Labels, Annotations } = JSON.parse(await this.image(image)) as Record<
      'Labels' | 'Annotations',
      Record<string, string>
    >;
    return (field === 'label' ? Labels : Annotations)[key] ?? '';
  }
}

/** Returns the JSON of some images of a chunk, in its order. */
async function selected(
  columns: Columns,
  slice: string | undefined,
  images: readonly number[],
  json: ChunkJson,
): Promise<SelectedEntries[]> {
  type Entries = { entry: ReturnType<typeof entryOf> }[];
  const repositories: {
    name: string;
    number: number;
    images: Entries;
    lists: { head: string; number: number; images: Entries }[];
  }[] = [];
  for (const image of images) {
    const number = columns.repositoryOf(image);
    let repository = repositories.at(-1);
    if (repository?.number !== number) {
      repository = { name: columns.string(number), number, images: [], lists: [] };
      repositories.push(repository);
    }
    const entry = entryOf(await json.image(image));
    const list = columns.listOf(image);
    if (list === -1) {
      repository.images.push({ entry });
      continue;
    }
    const last = repository.lists.at(-1);
    if (last?.number === list) last.images.push({ entry });
    else
      repository.lists.push({
        head: await json.text(columns.headOf(list), slice !== undefined),
        number: list,
        images: [{ entry }],
      });
  }
  return repositories;
}
