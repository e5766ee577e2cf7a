/** One image for each Flatpak ref and architecture, for indexes with `repository_priority`. */
import type { Catalog } from '../catalog/catalog.ts';
import type { Digest } from '../registry/digest.ts';
import { matcher } from './globs.ts';
import type { IndexDefinition } from './index-definition.ts';
import { meetsRequirements } from './render-image.ts';
import type { SelectedImage, SelectedList, SelectedRepository } from './select.ts';

const REF = 'org.flatpak.ref';
/** Has `1.10` after `1.9`; of one language, so that the order is the same everywhere. */
const VERSIONS = new Intl.Collator('en', { numeric: true });

/**
 * Of the images with the same ref and architecture that have what `definition` requires, leaves one. It is chosen by
 * 1. its repository: the one that an earlier pattern of `repositoryPriority` matches; one that no pattern matches comes after
 *    those, and among equals the first by name wins;
 * 2. its tags, or those of the list that it is in: `latest` wins;
 * 3. else the highest tag, compared as a version: `1.10` is over `1.9`.
 *
 * Images without a ref are all kept.
 */
export function prefer(selection: readonly SelectedRepository[], definition: IndexDefinition, catalog: Catalog): readonly SelectedRepository[] {
  const refs = new Map<Digest, string | undefined>();
  const refOf = (digest: Digest): string | undefined => {
    if (!refs.has(digest)) refs.set(digest, refAndArchitecture(digest, definition, catalog));
    return refs.get(digest);
  };

  const winners = new Map<string, { readonly holder: SelectedImage | SelectedList; readonly digest: Digest }>();
  const rankOf = ranking(definition.repositoryPriority);
  for (const { images, lists } of selection.toSorted((a, b) => rankOf(a.name) - rankOf(b.name))) {
    const holders = [...images.map((image) => ({ holder: image, digests: [image.digest] })), ...lists.map((list) => ({ holder: list, digests: list.images }))];
    for (const { holder, digests } of holders.toSorted((a, b) => byVersion(a.holder, b.holder))) {
      for (const digest of digests) {
        const ref = refOf(digest);
        if (ref !== undefined && !winners.has(ref)) winners.set(ref, { holder, digest });
      }
    }
  }

  const wins = (holder: SelectedImage | SelectedList, digest: Digest): boolean => {
    const ref = refOf(digest);
    const winner = ref === undefined ? undefined : winners.get(ref);
    return winner === undefined || (winner.holder === holder && winner.digest === digest);
  };
  return selection
    .map(({ name, images, lists }) => ({
      name,
      images: images.filter((image) => wins(image, image.digest)),
      lists: lists.map((list) => ({ ...list, images: list.images.filter((digest) => wins(list, digest)) })).filter((list) => list.images.length > 0),
    }))
    .filter(({ images, lists }) => images.length > 0 || lists.length > 0);
}

/** What there is to be one image of; `undefined` for an image that is not a Flatpak, or that the index will not show. */
function refAndArchitecture(digest: Digest, definition: IndexDefinition, catalog: Catalog): string | undefined {
  const image = catalog.image(digest);
  if (image === undefined || !meetsRequirements(image, definition)) return undefined;
  const ref = image.labels[REF] ?? image.annotations[REF];
  return ref === undefined ? undefined : `${image.architecture} ${ref}`;
}

/** The place of a repository's first pattern; behind all of them if none matches. */
function ranking(priority: readonly string[]): (repository: string) => number {
  const patterns = priority.map((pattern) => matcher([pattern]));
  return (repository) => {
    const rank = patterns.findIndex((matches) => matches(repository));
    return rank === -1 ? patterns.length : rank;
  };
}

/** The most wanted first. No two have the same tag. */
function byVersion(a: { readonly tags: readonly string[] }, b: { readonly tags: readonly string[] }): number {
  const latest = Number(b.tags.includes('latest')) - Number(a.tags.includes('latest'));
  return latest || compareVersions(highest(b.tags), highest(a.tags));
}

function highest(tags: readonly string[]): string {
  return tags.reduce((one, other) => (compareVersions(one, other) > 0 ? one : other));
}

function compareVersions(a: string, b: string): number {
  return VERSIONS.compare(a, b) || (a < b ? -1 : 1);
}
