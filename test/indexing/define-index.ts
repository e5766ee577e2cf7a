import type { DeltaDefinition, IndexDefinition } from '../../src/indexing/index-definition.ts';

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

/** Deltas of an index, with bounds that small images keep. */
export const DELTAS: DeltaDefinition = {
  url: 'https://apps.example.org/deltas/',
  keep: 86_400_000,
  max: 5,
  maxRatio: 0.7,
  minSize: 100,
  maxLayer: 1_000_000,
  maxStore: 1_000_000,
  mediaType: 'application/vnd.tar-diff',
};
