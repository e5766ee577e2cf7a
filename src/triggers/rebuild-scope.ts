/** Merges and describes the scopes of rebuilds, and finds those of retries. */
import type { RebuildResult, RebuildScope } from '../indexing/rebuild.ts';

/** The empty scope. */
export const EMPTY_SCOPE: RebuildScope = { indexes: new Set(), repositories: new Map() };

const MAX_SHOWN = 20;

/** A scope as `/status` and the log show it. */
export interface ScopeDescription {
  readonly indexes: 'all' | readonly string[];
  /** The first of them: `NAME` with all its tags, `NAME:TAG` with that one. */
  readonly repositories: readonly string[];
  /** The number of repositories and tags that are not listed. */
  readonly more?: number;
  readonly acceptLosses?: boolean;
}

/**
 * The union of two scopes; `a` itself if it includes `b`. Named repositories are kept beside all indexes, because a
 * registry's list may lack them.
 */
export function mergeScopes(a: RebuildScope, b: RebuildScope): RebuildScope {
  const indexes = union(a.indexes, b.indexes);
  let repositories = a.repositories;
  for (const [repository, tags] of b.repositories) {
    const known = a.repositories.get(repository);
    const merged = known === undefined ? tags : union(known, tags);
    if (merged === known) continue;
    if (repositories === a.repositories) repositories = new Map(repositories);
    (repositories as Map<string, typeof merged>).set(repository, merged);
  }
  const acceptLosses = a.acceptLosses === true || b.acceptLosses === true;
  if (indexes === a.indexes && repositories === a.repositories && acceptLosses === (a.acceptLosses === true)) return a;
  return { indexes, repositories, ...(acceptLosses && { acceptLosses }) };
}

/** The union of `scopes`. Merged in pairs, because each merge copies both scopes. */
export function mergeAllScopes(scopes: readonly RebuildScope[]): RebuildScope {
  if (scopes.length < 2) return scopes[0] ?? EMPTY_SCOPE;
  const half = scopes.length >> 1;
  return mergeScopes(mergeAllScopes(scopes.slice(0, half)), mergeAllScopes(scopes.slice(half)));
}

/** The union of two sets; `a` itself if it includes `b`. */
function union(a: 'all' | ReadonlySet<string>, b: 'all' | ReadonlySet<string>): 'all' | ReadonlySet<string> {
  if (a === 'all' || b === 'all') return 'all';
  return [...b].every((name) => a.has(name)) ? a : new Set([...a, ...b]);
}

/** Describes a scope as JSON of limited size. */
export function describeScope({ indexes, repositories, acceptLosses }: RebuildScope): ScopeDescription {
  const shown: string[] = [];
  let count = 0;
  for (const [repository, tags] of repositories) {
    const references = tags === 'all' ? [repository] : Array.from(tags, (tag) => `${repository}:${tag}`);
    count += references.length;
    shown.push(...references.slice(0, MAX_SHOWN - shown.length));
  }
  return {
    indexes: indexes === 'all' ? 'all' : [...indexes],
    repositories: shown,
    ...(count > shown.length && { more: count - shown.length }),
    ...(acceptLosses === true && { acceptLosses }),
  };
}

/**
 * The smallest scope that retries the failures of a rebuild of `scope`: the repositories that could not be read, or all
 * of it if the registry could not. Indexes that could not be written need no scope: every rebuild writes them again.
 */
export function scopeToRetry(scope: RebuildScope, { failures }: RebuildResult): RebuildScope {
  const repositories = new Map<string, 'all' | ReadonlySet<string>>();
  for (const { repository } of failures) {
    if (repository === undefined) return scope;
    // Retries single tags only if nothing else in the scope can have included the repository.
    const onlyNamed = scope.indexes !== 'all' && scope.indexes.size === 0;
    repositories.set(repository, (onlyNamed ? scope.repositories.get(repository) : undefined) ?? 'all');
  }
  return { indexes: new Set(), repositories, ...(scope.acceptLosses === true && { acceptLosses: true }) };
}
