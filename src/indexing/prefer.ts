/** One image for each Flatpak ref and architecture, from the repository that stands first in `repository_priority`. */
import type { Catalog } from '../catalog/catalog.ts';
import type { Digest } from '../registry/digest.ts';
import { matcher } from './globs.ts';
import type { SelectedRepository } from './select.ts';

const REF = 'org.flatpak.ref';

/**
 * Leaves out the images whose ref and architecture another repository, more wanted by `priority`, has as well.
 * A repository that no pattern matches comes after those that one does; among equals the first by name wins.
 * Images without a ref are all kept.
 */
export function prefer(selection: readonly SelectedRepository[], priority: readonly string[], catalog: Catalog): readonly SelectedRepository[] {
  const patterns = priority.map((pattern) => matcher([pattern]));
  const rankOf = (repository: string): number => {
    const rank = patterns.findIndex((matches) => matches(repository));
    return rank === -1 ? patterns.length : rank;
  };
  const refs = new Map<Digest, string | undefined>();
  const refOf = (digest: Digest): string | undefined => {
    if (refs.has(digest)) return refs.get(digest);
    const image = catalog.image(digest);
    const ref = image?.labels[REF] ?? image?.annotations[REF];
    const key = image === undefined || ref === undefined ? undefined : `${image.architecture} ${ref}`;
    refs.set(digest, key);
    return key;
  };

  const winners = new Map<string, string>();
  for (const { name, images, lists } of selection.toSorted((a, b) => rankOf(a.name) - rankOf(b.name))) {
    for (const digest of [...images.map((image) => image.digest), ...lists.flatMap((list) => list.images)]) {
      const ref = refOf(digest);
      if (ref !== undefined && !winners.has(ref)) winners.set(ref, name);
    }
  }

  return selection
    .map(({ name, images, lists }) => {
      const wins = (digest: Digest): boolean => {
        const ref = refOf(digest);
        return ref === undefined || winners.get(ref) === name;
      };
      return {
        name,
        images: images.filter(({ digest }) => wins(digest)),
        lists: lists.map((list) => ({ ...list, images: list.images.filter(wins) })).filter((list) => list.images.length > 0),
      };
    })
    .filter(({ images, lists }) => images.length > 0 || lists.length > 0);
}
