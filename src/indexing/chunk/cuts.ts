/** Where an index is cut into chunks: behind names whose hash says so, so that the cuts do not depend on history. */
import { hash } from 'node:crypto';

/** One cut for so many entries on average. */
const AVERAGE = 16;
/** The most entries without a cut. */
const LONGEST = 64;
/** A repository of more images is cut by itself. */
const LARGE_REPOSITORY = 200;

/** A repository by its name, and how many images it shows. */
export interface SizedRepository {
  readonly name: string;
  readonly images: number;
}

/** Repositories that make up one chunk, or one that is cut into several. */
export interface Cut<Repository> {
  readonly repositories: readonly Repository[];
  readonly large: boolean;
}

/** Cuts the sorted repositories of an index into runs. */
export class IndexCutter<Repository extends SizedRepository> {
  readonly #hashOf: (repository: Repository) => number;
  #small: Repository[] = [];

  constructor(hashOf: (repository: Repository) => number = ({ name }) => hashOfName(name)) {
    this.#hashOf = hashOf;
  }

  /** Adds the next repository by name, which is not empty; yields the runs that are complete. */
  *add(repository: Repository): Generator<Cut<Repository>> {
    if (repository.images > LARGE_REPOSITORY) {
      yield* this.end();
      yield { repositories: [repository], large: true };
      return;
    }
    this.#small.push(repository);
    if (this.#small.length < LONGEST && this.#hashOf(repository) % AVERAGE !== 0) return;
    const [run, ...left] = cut(this.#small, this.#hashOf);
    this.#small = left.flat();
    if (run !== undefined) yield { repositories: run, large: false };
  }

  /** Yields the runs that are left. */
  *end(): Generator<Cut<Repository>> {
    for (const run of cut(this.#small, this.#hashOf)) yield { repositories: run, large: false };
    this.#small = [];
  }
}

/** A repository whose images and lists are in the order of the document. */
interface CutRepository<Image, List> {
  readonly name: string;
  readonly images: readonly Image[];
  readonly lists: readonly List[];
}

/** A large repository in slices. */
export function cutRepository<Image extends { readonly digest: string }, List extends { readonly digest: string }>({ name, images, lists }: CutRepository<Image, List>): CutRepository<Image, List>[] {
  const entries = [...images.map((image) => ({ digest: image.digest, image })), ...lists.map((list) => ({ digest: list.digest, list }))];
  return cut(entries, ({ digest }) => hashOfDigest(digest)).map((slice) => ({
    name,
    images: slice.flatMap((entry) => ('image' in entry ? [entry.image] : [])),
    lists: slice.flatMap((entry) => ('list' in entry ? [entry.list] : [])),
  }));
}

/** The entries in runs: each ends behind an entry whose hash is a multiple of {@link AVERAGE}, or else, after {@link LONGEST}, behind that with the smallest. */
function cut<Entry>(entries: readonly Entry[], hashOf: (entry: Entry) => number): Entry[][] {
  const runs: Entry[][] = [];
  let start = 0;
  const endBehind = (last: number): void => {
    runs.push(entries.slice(start, last + 1));
    start = last + 1;
  };
  for (let place = 0; place < entries.length; place++) {
    if (hashOf(entries[place] as Entry) % AVERAGE === 0) endBehind(place);
    else if (place - start + 1 === LONGEST) {
      let smallest = start;
      for (let other = start; other <= place; other++) if (hashOf(entries[other] as Entry) < hashOf(entries[smallest] as Entry)) smallest = other;
      endBehind(smallest);
      // What follows it belongs to the next run, which it may end as well.
      place = smallest;
    }
  }
  if (start < entries.length) endBehind(entries.length - 1);
  return runs;
}

/** A hash of a repository's name, from 0 to 2³² − 1. */
export function hashOfName(name: string): number {
  return Number.parseInt(hash('sha256', name).slice(0, 8), 16);
}

/** The same of a digest, which is a hash itself. */
function hashOfDigest(digest: string): number {
  return Number.parseInt(digest.slice(digest.indexOf(':') + 1, digest.indexOf(':') + 9), 16);
}
