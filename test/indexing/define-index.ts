import type { IndexDefinition } from '../../src/indexing/index-definition.ts';

/** The definition of an index that takes every tag and shows all as it is. */
export function defineIndex(definition: Partial<IndexDefinition> = {}): IndexDefinition {
  const registry = definition.registry ?? 'http://registry.example.org';
  return {
    name: 'apps', registry, registryPublic: registry, tags: ['*'],
    repositoryInclude: [], repositoryExclude: [], repositoryPriority: [], requiredAnnotations: [], requiredLabels: [],
    skipFlatpakAnnotations: false, skipFlatpakLabels: false, extractIcons: false, lists: 'keep', flatpakAnnotations: false, forceFlatpakToken: false,
    ...definition,
  };
}
