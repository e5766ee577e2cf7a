/** What a scan found to be gone, and whether that is too much at once to be believed. */
import type { Catalog, TagsByRepository } from '../catalog/catalog.ts';
import type { Digest } from '../registry/digest.ts';
import type { Wanted } from './globs.ts';
import type { IndexDefinition } from './index-definition.ts';
import type { HeldImages } from './rebuild.ts';
import { meetsRequirements } from './render-image.ts';
import { select, type SelectedRepository, type SelectionSource } from './select.ts';

/** Losses up to so many images are always believed. */
const FEW_IMAGES = 20;

/** Stands among tags for a repository as a whole, of which the catalog knows no tag. */
export const WHOLE_REPOSITORY = '';

/** An index that would lose images. */
export interface LosingIndex {
  readonly definition: IndexDefinition;
  readonly wanted: Wanted;
  /** How many images it shows from each repository that the catalog may not know. */
  readonly inherited: ReadonlyMap<string, number>;
}

/** Those of the tags that are gone which lead to what some index shows that would lose most of its images with them. */
export function tagsToHold(catalog: Catalog, indexes: readonly LosingIndex[], gone: TagsByRepository): TagsByRepository {
  const held = new Map<string, Set<string>>();
  const hold = (repository: string, tags: Iterable<string>): void => {
    for (const tag of tags) if (gone.get(repository)?.has(tag) === true) held.set(repository, (held.get(repository) ?? new Set()).add(tag));
  };
  for (const index of indexes) {
    const { images, of } = imagesLost(catalog, index, gone);
    if (images <= FEW_IMAGES || images <= of / 2) continue;
    const shows = showing(catalog, index);
    for (const repository of select(catalog, index.definition, index.wanted)) {
      for (const { digest, tags } of repository.images) if (shows(digest)) hold(repository.name, tags);
      for (const list of repository.lists) if (list.images.some(shows)) hold(repository.name, list.tags);
    }
    for (const repository of index.inherited.keys()) hold(repository, [WHOLE_REPOSITORY]);
  }
  return held;
}

/** How many images an index would lose with these tags, and of how many; if they are few, not looking at what it requires of them. */
export function imagesLost(catalog: Catalog, index: LosingIndex, gone: TagsByRepository): HeldImages {
  const { definition, wanted, inherited } = index;
  return catalog.transaction(() => {
    const unknown = sum(Array.from(inherited, ([repository, images]) => (gone.get(repository)?.has(WHOLE_REPOSITORY) === true ? images : 0)));
    const before = select(catalog, definition, wanted);
    const after = select(without(catalog, gone), definition, wanted);
    const lost = (shows: (digest: Digest) => boolean): HeldImages => {
      const of = countImages(before, shows);
      return { images: of - countImages(after, shows) + unknown, of: of + unknown };
    };
    const most = lost(() => true);
    return most.images <= FEW_IMAGES ? most : lost(showing(catalog, index));
  });
}

/** Says whether the index shows an image that it has selected. */
function showing(catalog: Catalog, { definition }: LosingIndex): (digest: Digest) => boolean {
  const shown = new Map<Digest, boolean>();
  return (digest) => {
    let shows = shown.get(digest);
    if (shows === undefined) {
      const image = catalog.image(definition.registry, digest);
      shows = image !== undefined && meetsRequirements(image, definition);
      shown.set(digest, shows);
    }
    return shows;
  };
}

/** What an administrator is told. */
export function describeHeld({ images, of }: HeldImages): string {
  return (
    `the registry says that ${images} of its ${of} images are gone, which is not believed at once: they are kept until the next full scan finds the same; ` +
    'POST /reindex with {"accept_losses": true}, or regindexer index --accept-losses, lets them go now'
  );
}

/** The catalog as if these tags were gone. */
function without(catalog: SelectionSource, gone: TagsByRepository): SelectionSource {
  return {
    repositories: (registry) => catalog.repositories(registry),
    tags: (registry, repository) => catalog.tags(registry, repository).filter(({ tag }) => gone.get(repository)?.has(tag) !== true),
    manifest: (registry, digest) => catalog.manifest(registry, digest),
  };
}

function countImages(selection: readonly SelectedRepository[], shows: (digest: Digest) => boolean): number {
  return sum(selection.map(({ images, lists }) => images.filter(({ digest }) => shows(digest)).length + sum(lists.map((list) => list.images.filter(shows).length))));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((one, other) => one + other, 0);
}
