/** Rebuilds as JSON, as replicas tell each other about them. */
import type { RebuildScope } from '../indexing/rebuild.ts';
import type { Rebuild } from './rebuild.ts';

/** A {@link RebuildScope} whose sets and maps are lists. */
interface ScopeJson {
  readonly indexes: 'all' | readonly string[];
  readonly repositories: readonly (readonly [repository: string, tags: 'all' | readonly string[]])[];
  readonly acceptLosses?: boolean;
}

/** A {@link Rebuild} as JSON. */
export interface RebuildJson extends Omit<Rebuild, 'scope' | 'rebuilds'> {
  readonly scope: ScopeJson;
  readonly rebuilds?: readonly RebuildJson[];
}

/** Converts a rebuild to JSON. */
export function rebuildToJson({ scope, rebuilds, ...rest }: Rebuild): RebuildJson {
  const { indexes, repositories, ...others } = scope;
  return {
    ...rest,
    scope: {
      ...others,
      indexes: namesOf(indexes),
      repositories: Array.from(repositories, ([repository, tags]) => [repository, namesOf(tags)] as const),
    },
    ...(rebuilds !== undefined && { rebuilds: rebuilds.map(rebuildToJson) }),
  };
}

/** Converts a rebuild from JSON. */
export function rebuildFromJson({ scope, rebuilds, ...rest }: RebuildJson): Rebuild {
  const { indexes, repositories, ...others } = scope;
  return {
    ...rest,
    scope: {
      ...others,
      indexes: setOf(indexes),
      repositories: new Map(repositories.map(([repository, tags]) => [repository, setOf(tags)])),
    },
    ...(rebuilds !== undefined && { rebuilds: rebuilds.map(rebuildFromJson) }),
  };
}

function namesOf(names: RebuildScope['indexes']): 'all' | readonly string[] {
  return names === 'all' ? names : [...names];
}

function setOf(names: 'all' | readonly string[]): RebuildScope['indexes'] {
  return names === 'all' ? names : new Set(names);
}
