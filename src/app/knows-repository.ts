/** Says whether a repository exists that an index takes. */
import type { IndexDefinition } from '../indexing/index-definition.ts';
import { isWanted, wantedBy } from '../indexing/select/wanted.ts';
import { isNotFound } from '../registry/registry-error.ts';
import type { RegistrySource } from '../registry/registry-source.ts';

/** The registries, what the indexes take of them, and what is known. */
export interface RepositoryKnowledge {
  readonly sources: ReadonlyMap<string, RegistrySource>;
  readonly definitions: readonly IndexDefinition[];
  /** Says whether the catalog has tags of a repository. */
  readonly isKnown: (registry: string, name: string) => Promise<boolean>;
}

/**
 * Returns whether a repository that an index takes is in the catalog or its registry; `true` if a registry cannot be
 * asked.
 */
export async function knowsRepository(
  name: string,
  { sources, definitions, isKnown }: RepositoryKnowledge,
  signal?: AbortSignal,
): Promise<boolean> {
  for (const [id, source] of sources) {
    const taking = definitions
      .filter(({ registry }) => registry === id)
      .map((definition) => wantedBy(definition, (repository) => source.covers(repository)));
    if (!isWanted(taking, name)) continue;
    if (await isKnown(id, name)) return true;
    const found = await source.tags(name, signal).then(
      () => true,
      (error: unknown) => !isNotFound(error),
    );
    if (found) return true;
  }
  return false;
}
