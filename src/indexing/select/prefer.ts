/** Selects one image for each Flatpak ref and architecture, for indexes with `repository_priority`. */
import type { Digest } from '../../registry/digest.ts';
import { DEFAULT_TAG } from '../../registry/reference.ts';
import { rankingOf } from './wanted.ts';
import type { IndexDefinition } from '../index-definition.ts';
import type { SelectedImage, SelectedList, SelectedRepository } from './select.ts';
import { type Contest, contestMessage } from './winners.ts';

/** Sorts `1.10` after `1.9`; with a fixed language, so that the order is the same everywhere. */
const VERSIONS = new Intl.Collator('en', { numeric: true });

/**
 * Keeps one of the images with the same identity (ref and architecture), and all images without one. It is chosen by
 * 1. its repository: by the first pattern of `repositoryPriority` that matches it, those without a match last, then by
 * name;
 * 2. its tags, or those of its list: `latest`, else the highest tag, compared as a version (`1.10` is higher than
 * `1.9`).
 * @param onContest told of identities for which only the name of the repository decided
 */
export function prefer(
  selection: readonly SelectedRepository[],
  { repositoryPriority }: IndexDefinition,
  refOf: (digest: Digest) => string | undefined,
  onContest: (contest: Contest) => void,
): readonly SelectedRepository[] {
  const winners = new Map<
    string,
    { readonly repository: string; readonly holder: SelectedImage | SelectedList; readonly digest: Digest }
  >();
  /** Repositories that come after the winner only by their names, by ref. */
  const contests = new Map<string, Set<string>>();
  const rankOf = rankingOf(repositoryPriority);
  for (const { name, images, lists } of selection.toSorted((a, b) => rankOf(a.name) - rankOf(b.name))) {
    const holders = [
      ...images.map((image) => ({ holder: image, digests: [image.digest] })),
      ...lists.map((list) => ({ holder: list, digests: list.images })),
    ];
    for (const { holder, digests } of holders.toSorted((a, b) => byVersion(a.holder, b.holder))) {
      for (const digest of digests) {
        const ref = refOf(digest);
        if (ref === undefined) continue;
        const winner = winners.get(ref);
        if (winner === undefined) winners.set(ref, { repository: name, holder, digest });
        else if (winner.repository !== name && rankOf(winner.repository) === rankOf(name))
          contests.set(ref, (contests.get(ref) ?? new Set()).add(name));
      }
    }
  }
  for (const [ref, losers] of contests)
    onContest({ identity: ref, message: contestMessage(ref, winners.get(ref)?.repository ?? '', losers) });

  const wins = (holder: SelectedImage | SelectedList, digest: Digest): boolean => {
    const ref = refOf(digest);
    const winner = ref === undefined ? undefined : winners.get(ref);
    return winner === undefined || (winner.holder === holder && winner.digest === digest);
  };
  return selection.map(({ name, images, lists }) => ({
    name,
    images: images.filter((image) => wins(image, image.digest)),
    lists: lists
      .map((list) => ({ ...list, images: list.images.filter((digest) => wins(list, digest)) }))
      .filter((list) => list.images.length > 0),
  }));
}

/** Sorts the most wanted first. No two images of a repository have the same tag. */
function byVersion(a: { readonly tags: readonly string[] }, b: { readonly tags: readonly string[] }): number {
  const latest = Number(b.tags.includes(DEFAULT_TAG)) - Number(a.tags.includes(DEFAULT_TAG));
  return latest || compareVersions(highest(b.tags), highest(a.tags));
}

function highest(tags: readonly string[]): string {
  return tags.reduce((one, other) => (compareVersions(one, other) > 0 ? one : other));
}

function compareVersions(a: string, b: string): number {
  return VERSIONS.compare(a, b) || (a < b ? -1 : 1);
}
