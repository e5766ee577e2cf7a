import type { IndexDefinition } from '../../src/indexing/index-definition.ts';

/**
 * Returns the definition of an index that takes all tags and shows images unchanged, except for what `definition` sets.
 */
export function defineIndex(definition: Partial<IndexDefinition> = {}): IndexDefinition {
  const registry = definition.registry ?? 'http://registry.example.org';
  return {
    name: 'apps',
    registry,
    registryPublic: registry,
    tags: ['*'],
    repositoryInclude: [],
    repositoryExclude: [],
    repositoryPriority: [],
    requiredAnnotations: [],
    requiredLabels: [],
    skipFlatpakAnnotations: false,
    skipFlatpakLabels: false,
    extractIcons: false,
    lists: 'keep',
    screenshots: 'proxy',
    flatpakAnnotations: false,
    forceFlatpakToken: false,
    ...definition,
  };
}
