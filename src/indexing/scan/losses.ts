/** Decides whether losses that a scan found are too large to be believed at once. */
import type { KnownRegistry, TagsByRepository } from '../../store/catalog.ts';
import type { Digest } from '../../registry/digest.ts';
import type { Wanted } from '../select/wanted.ts';
import type { FactsCache } from '../select/image-facts.ts';
import type { IndexDefinition } from '../index-definition.ts';
import type { HeldImages } from '../rebuild.ts';
import { digestsOf, selectRepository, type SelectedRepository } from '../select/select.ts';

/** Losses of up to this many images are always believed. */
const FEW_IMAGES = 20;

/** Stands in a set of tags for the whole repository, if the catalog knows none of its tags. */
export const WHOLE_REPOSITORY = '';

/** An index to check for losses. */
export interface CheckedIndex {
  readonly definition: IndexDefinition;
  readonly wanted: Wanted;
  readonly facts: FactsCache;
  /** Numbers of images that it shows of repositories that the catalog may not know. */
  readonly inherited: ReadonlyMap<string, number>;
}

/**
 * Returns those of the gone tags to hold: the ones that indexes show which would lose most of their images.
 * @throws StoreError
 */
export async function tagsToHold(
  known: KnownRegistry,
  indexes: readonly CheckedIndex[],
  gone: TagsByRepository,
): Promise<TagsByRepository> {
  const held = new Map<string, Set<string>>();
  const hold = (repository: string, tags: Iterable<string>): void => {
    for (const tag of tags)
      if (gone.get(repository)?.has(tag) === true) held.set(repository, (held.get(repository) ?? new Set()).add(tag));
  };
  for (const index of indexes) {
    const { images, of } = await imagesLost(known, index, gone);
    if (images <= FEW_IMAGES || images <= of / 2) continue;
    const selection = selectAll(known, index);
    const shows = await showing(selection, index);
    for (const repository of selection) {
      for (const { digest, tags } of repository.images) if (shows(digest)) hold(repository.name, tags);
      for (const list of repository.lists) if (list.images.some(shows)) hold(repository.name, list.tags);
    }
    for (const repository of index.inherited.keys()) hold(repository, [WHOLE_REPOSITORY]);
  }
  return held;
}

/**
 * Counts the images that an index would lose with these tags. A small count may include images that it does not show.
 * @throws StoreError
 */
export async function imagesLost(
  known: KnownRegistry,
  index: CheckedIndex,
  gone: TagsByRepository,
): Promise<HeldImages> {
  const unknown = sum(
    Array.from(index.inherited, ([repository, images]) =>
      gone.get(repository)?.has(WHOLE_REPOSITORY) === true ? images : 0,
    ),
  );
  const before = selectAll(known, index);
  const after = selectAll(without(known, gone), index);
  const lost = (shows: (digest: Digest) => boolean): HeldImages => {
    const of = countImages(before, shows);
    return { images: of - countImages(after, shows) + unknown, of: of + unknown };
  };
  const most = lost(() => true);
  return most.images <= FEW_IMAGES ? most : lost(await showing(before, index));
}

/** Returns the warning about held images. */
export function describeHeld({ images, of }: HeldImages): string {
  return (
    `the registry says that ${images} of its ${of} images are gone, which is not believed at once: they are kept until the next full scan confirms it; ` +
    'to remove them now, POST /reindex with {"accept_losses": true}, or run regindexer index --accept-losses'
  );
}

function selectAll(known: KnownRegistry, { definition, wanted }: CheckedIndex): readonly SelectedRepository[] {
  return [...known.repositories.keys()]
    .filter(wanted.repository)
    .map((name) => selectRepository(name, known, definition, wanted));
}

/** Returns a test of whether the index shows a selected image. */
async function showing(
  selection: readonly SelectedRepository[],
  { facts }: CheckedIndex,
): Promise<(digest: Digest) => boolean> {
  const found = await facts.get([...new Set(selection.flatMap(digestsOf))]);
  return (digest) => found.get(digest)?.shown === true;
}

/** Returns what is known without these tags. */
function without({ repositories, manifests }: KnownRegistry, gone: TagsByRepository): KnownRegistry {
  return {
    manifests,
    repositories: new Map(
      [...repositories].map(([name, repository]) => [
        name,
        { ...repository, tags: new Map([...repository.tags].filter(([tag]) => gone.get(name)?.has(tag) !== true)) },
      ]),
    ),
  };
}

function countImages(selection: readonly SelectedRepository[], shows: (digest: Digest) => boolean): number {
  return sum(
    selection.map(
      ({ images, lists }) =>
        images.filter(({ digest }) => shows(digest)).length +
        sum(lists.map((list) => list.images.filter(shows).length)),
    ),
  );
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((one, other) => one + other, 0);
}
