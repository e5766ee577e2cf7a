/** Globs over tags and repository names. */
import { matcher } from '../../registry/matcher.ts';
import { DELTA_INDEX_TAG } from '../../registry/reference.ts';
import type { IndexDefinition } from '../index-definition.ts';

/** Gives the place of a repository's first pattern in `priority`; behind all of them if none matches. */
export function rankingOf(priority: readonly string[]): (repository: string) => number {
  const patterns = priority.map((pattern) => matcher([pattern]));
  return (repository) => {
    const rank = patterns.findIndex((matches) => matches(repository));
    return rank === -1 ? patterns.length : rank;
  };
}

/** Which repositories and tags an index takes. */
export interface Wanted {
  readonly repository: (name: string) => boolean;
  readonly tag: (name: string) => boolean;
}

/** The repositories and tags that `definition` takes, of those that its registry is read for. */
export function wantedBy(definition: IndexDefinition, covers: (repository: string) => boolean): Wanted {
  const include = definition.repositoryInclude.length === 0 ? () => true : matcher(definition.repositoryInclude);
  const exclude = matcher(definition.repositoryExclude);
  const tag = matcher(definition.tags);
  return { repository: (name) => include(name) && !exclude(name) && covers(name), tag: (name) => name !== DELTA_INDEX_TAG && tag(name) };
}

/** Says whether some index takes the repository; with `tag`, that tag of it. */
export function isWanted(indexes: readonly Wanted[], repository: string, tag?: string): boolean {
  return indexes.some((wanted) => wanted.repository(repository) && (tag === undefined || wanted.tag(tag)));
}
