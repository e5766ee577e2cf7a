/** Says how the repositories of a registry are found. */
import { CoveredRepositories } from './covered-repositories.ts';
import type { RegistryOptions } from './create-registry-source.ts';
import { LAYOUT_PREFIX } from './registry-id.ts';
import { LISTING_KINDS } from './listing/listing-apis.ts';

/** Ways to find repositories: by the registry itself, by names in the configuration, in a folder, or by an API. */
export const LISTED_BY = ['catalog', 'names', 'folder', ...LISTING_KINDS] as const;
/** One of {@link LISTED_BY}. */
export type ListedBy = (typeof LISTED_BY)[number];

/** Returns how the repositories of a registry are found. */
export function listedBy({
  id,
  repositories = [],
  listing,
}: Pick<RegistryOptions, 'id' | 'repositories' | 'listing'>): ListedBy {
  if (id.startsWith(LAYOUT_PREFIX)) return 'folder';
  if (new CoveredRepositories(repositories).named) return 'names';
  return listing?.kind ?? 'catalog';
}
