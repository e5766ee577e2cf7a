/** Repositories and tags that an index takes, by globs. */
import { matcher } from '../../registry/config-glob.ts';
import { DELTA_INDEX_TAG } from '../../registry/reference.ts';
import type { IndexDefinition } from '../index-definition.ts';

/** Returns a function that ranks a repository by the first pattern of `priority` that matches it; last if none does. */
export function rankingOf(priority: readonly string[]): (repository: string) => number {
  const patterns = priority.map((pattern) => matcher([pattern]));
  return (repository) => {
    const rank = patterns.findIndex((matches) => matches(repository));
    return rank === -1 ? patterns.length : rank;
  };
}

/** Tests for repositories and tags that an index takes. */
export interface Wanted {
  readonly repository: (name: string) => boolean;
  readonly tag: (name: string) => boolean;
}

/**
 * Returns what `definition` takes.
 * @param covers whether a repository of its registry is read at all
 */
export function wantedBy(definition: IndexDefinition, covers: (repository: string) => boolean): Wanted {
  const include = definition.repositoryInclude.length === 0 ? () => true : matcher(definition.repositoryInclude);
  const exclude = matcher(definition.repositoryExclude);
  const tag = matcher(definition.tags);
  return {
    repository: (name) => include(name) && !exclude(name) && covers(name),
    tag: (name) => name !== DELTA_INDEX_TAG && tag(name),
  };
}

/** Says whether any index takes the repository, or with `tag`, that tag of it. */
export function isWanted(indexes: readonly Wanted[], repository: string, tag?: string): boolean {
  return indexes.some((wanted) => wanted.repository(repository) && (tag === undefined || wanted.tag(tag)));
}
