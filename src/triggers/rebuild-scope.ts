/** Scopes of rebuilds, put together and shown. */
import type { RebuildScope } from '../indexing/rebuild.ts';

/** The scope that asks for nothing. */
export const NOTHING: RebuildScope = { indexes: new Set(), repositories: new Map() };

const MAX_SHOWN = 20;

/** A scope as `/status` and the logs show it. */
export interface ScopeDescription {
  readonly indexes: 'all' | readonly string[];
  /** The first of them: `NAME` with all its tags, `NAME:TAG` with that one. */
  readonly repositories: readonly string[];
  /** How many more there are. */
  readonly more?: number;
  readonly acceptLosses?: boolean;
}

/**
 * All that `a` or `b` asks for. Repositories that are named stay beside all the indexes: a registry's list may lack them.
 * Gives `a` itself if it asks for all of it already.
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

/** All that any of `scopes` asks for. Put together two by two: one after the other, each would copy all of those before it. */
export function mergeAllScopes(scopes: readonly RebuildScope[]): RebuildScope {
  if (scopes.length < 2) return scopes[0] ?? NOTHING;
  const half = scopes.length >> 1;
  return mergeScopes(mergeAllScopes(scopes.slice(0, half)), mergeAllScopes(scopes.slice(half)));
}

/** `a` itself if it holds `b`. */
function union(a: 'all' | ReadonlySet<string>, b: 'all' | ReadonlySet<string>): 'all' | ReadonlySet<string> {
  if (a === 'all' || b === 'all') return 'all';
  return [...b].every((name) => a.has(name)) ? a : new Set([...a, ...b]);
}

/** `scope` as JSON, however large it is. */
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
