/**
 * Cuts an index into chunks by the hashes of names (content-defined chunking), so that the cuts do not depend on
 * history.
 */
import { hash } from 'node:crypto';

/** Average number of entries between two cuts. */
const AVERAGE = 16;
/** Most entries without a cut. */
const LONGEST = 64;
/** A repository with more images is cut into slices. */
const LARGE_REPOSITORY = 200;

/** A repository's name and number of images. */
export interface SizedRepository {
  readonly name: string;
  readonly images: number;
}

/** Repositories of one chunk, or one large repository, which becomes several. */
export interface Cut<Repository> {
  readonly repositories: readonly Repository[];
  readonly large: boolean;
}

/** Cuts the repositories of an index, which are added in the order of their names. */
export class IndexCutter<Repository extends SizedRepository> {
  readonly #hashOf: (repository: Repository) => number;
  #small: Repository[] = [];

  constructor(hashOf: (repository: Repository) => number = ({ name }) => hashOfName(name)) {
    this.#hashOf = hashOf;
  }

  /** Adds the next repository, which is not empty; yields the cuts that are complete. */
  *add(repository: Repository): Generator<Cut<Repository>> {
    if (repository.images > LARGE_REPOSITORY) {
      yield* this.end();
      yield { repositories: [repository], large: true };
      return;
    }
    this.#small.push(repository);
    if (this.#small.length < LONGEST && this.#hashOf(repository) % AVERAGE !== 0) return;
    const [first, ...left] = cut(this.#small, this.#hashOf);
    this.#small = left.flat();
    if (first !== undefined) yield { repositories: first, large: false };
  }

  /** Yields the remaining cuts. */
  *end(): Generator<Cut<Repository>> {
    for (const repositories of cut(this.#small, this.#hashOf)) yield { repositories, large: false };
    this.#small = [];
  }
}

/** A repository or a slice of one; images and lists are in the order of the document. */
interface CutRepository<Image, List> {
  readonly name: string;
  readonly images: readonly Image[];
  readonly lists: readonly List[];
}

/** Cuts a large repository into slices. */
export function cutRepository<Image extends { readonly digest: string }, List extends { readonly digest: string }>({
  name,
  images,
  lists,
}: CutRepository<Image, List>): CutRepository<Image, List>[] {
  const entries = [
    ...images.map((image) => ({ digest: image.digest, image })),
    ...lists.map((list) => ({ digest: list.digest, list })),
  ];
  return cut(entries, ({ digest }) => hashOfDigest(digest)).map((slice) => ({
    name,
    images: slice.flatMap((entry) => ('image' in entry ? [entry.image] : [])),
    lists: slice.flatMap((entry) => ('list' in entry ? [entry.list] : [])),
  }));
}

/**
 * Cuts entries after each whose hash is a multiple of {@link AVERAGE}; after {@link LONGEST} without one, after the one
 * with the smallest hash.
 */
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
      for (let other = start; other <= place; other++)
        if (hashOf(entries[other] as Entry) < hashOf(entries[smallest] as Entry)) smallest = other;
      endBehind(smallest);
      // The entries after it belong to the next run, and may end it.
      place = smallest;
    }
  }
  if (start < entries.length) endBehind(entries.length - 1);
  return runs;
}

/** Returns the hash of a repository's name, from 0 to 2³² − 1. */
export function hashOfName(name: string): number {
  return Number.parseInt(hash('sha256', name).slice(0, 8), 16);
}

/** Returns the first 32 bits of a digest, which is a hash itself. */
function hashOfDigest(digest: string): number {
  return Number.parseInt(digest.slice(digest.indexOf(':') + 1, digest.indexOf(':') + 9), 16);
}
