/** Requests for rebuilds, and their scopes in each registry. */
import { EVERYTHING, type RebuildScope } from '../indexing/rebuild.ts';

/**
 * A request for a rebuild. Without `registry`, a repository or tag is meant in all registries. `acceptLosses` is that
 * of {@link RebuildScope}.
 */
export type RebuildRequest = { readonly acceptLosses?: boolean } & (
  | { readonly kind: 'everything' }
  | { readonly kind: 'registry'; readonly registry: string }
  | { readonly kind: 'index'; readonly index: string }
  | { readonly kind: 'repository'; readonly repository: string; readonly registry?: string }
  | { readonly kind: 'tag'; readonly repository: string; readonly tag: string; readonly registry?: string }
);

/**
 * The scopes of a request by registry.
 * @param registries the ids of all registries with the names of their indexes
 * @throws RangeError for a registry or index that is not configured.
 */
export function scopesOf(
  request: RebuildRequest,
  registries: ReadonlyMap<string, readonly string[]>,
): ReadonlyMap<string, RebuildScope> {
  const scopes = askedOf(request, registries);
  return request.acceptLosses === true
    ? new Map(Array.from(scopes, ([registry, scope]) => [registry, { ...scope, acceptLosses: true }]))
    : scopes;
}

function askedOf(
  request: RebuildRequest,
  registries: ReadonlyMap<string, readonly string[]>,
): ReadonlyMap<string, RebuildScope> {
  if (request.kind === 'everything') return inEach(registries.keys(), EVERYTHING);
  if (request.kind === 'registry') return inEach([known(request.registry, registries)], EVERYTHING);
  if (request.kind === 'index') {
    return inEach([registryOf(request.index, registries)], {
      indexes: new Set([request.index]),
      repositories: new Map(),
    });
  }
  const tags = request.kind === 'tag' ? new Set([request.tag]) : 'all';
  const concerned = request.registry === undefined ? registries.keys() : [known(request.registry, registries)];
  return inEach(concerned, { indexes: new Set(), repositories: new Map([[request.repository, tags]]) });
}

function inEach(registries: Iterable<string>, scope: RebuildScope): ReadonlyMap<string, RebuildScope> {
  return new Map(Array.from(registries, (registry) => [registry, scope]));
}

function known(registry: string, registries: ReadonlyMap<string, readonly string[]>): string {
  if (!registries.has(registry)) throw new RangeError(`no index uses a registry ${JSON.stringify(registry)}`);
  return registry;
}

function registryOf(index: string, registries: ReadonlyMap<string, readonly string[]>): string {
  for (const [registry, indexes] of registries) if (indexes.includes(index)) return registry;
  throw new RangeError(`no index ${JSON.stringify(index)} is configured`);
}
