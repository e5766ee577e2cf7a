/** Options of the indexing thread, from the configuration. */
import type { Config, IndexConfig, RegistryConfig } from '../config/config.ts';
import type { IndexDefinition } from '../indexing/index-definition.ts';
import type { RegistryOptions } from '../registry/create-registry-source.ts';
import type { DatabaseAddress } from '../store/postgres/connection.ts';
import type { HeldLease } from '../store/postgres/lease.ts';
import { version } from '../system/version.ts';

/** Options of a {@link RecoveringIndexer}; cloneable, so that they can be sent to a thread. */
export interface IndexingOptions {
  readonly stateDir: string;
  readonly iconsDir: string | undefined;
  readonly iconsUri: string;
  /** Milliseconds. */
  readonly cleanFilesAfter: number;
  /** See {@link IndexerOptions.keepDeltasFor}; milliseconds. */
  readonly keepDeltasFor?: number | undefined;
  readonly registries: readonly RegistryOptions[];
  readonly definitions: readonly IndexDefinition[];
  /** A database instead of files in `stateDir`, and the lease under which it is written. */
  readonly database?: { readonly store: DatabaseAddress; readonly lease: HeldLease } | undefined;
}

/** Returns the options of the indexer, in a form that can be cloned. */
export function indexingOptions(config: Config): IndexingOptions {
  const { stateDir, iconsDir, iconsUri, cleanFilesAfter, registries, indexes, server } = config;
  return {
    stateDir,
    iconsDir,
    iconsUri,
    cleanFilesAfter,
    keepDeltasFor: cleanFilesAfter + server.maxAge * 1000,
    registries: [...registries.values()].map((registry) => registryOptions(registry, config.access)),
    definitions: indexes.map(definitionOf),
  };
}

/**
 * Returns only what indexing needs of an index: the indexer hashes definitions, so that any other key, such as a title,
 * would render the index again.
 */
export function definitionOf(index: IndexConfig): IndexDefinition {
  // Lists optional fields too, so that none is forgotten.
  const definition: { readonly [Field in keyof Required<IndexDefinition>]: IndexDefinition[Field] } = {
    name: index.name,
    registry: index.registry,
    registryPublic: index.registryPublic,
    output: index.output,
    tags: index.tags,
    repositoryInclude: index.repositoryInclude,
    repositoryExclude: index.repositoryExclude,
    repositoryPriority: index.repositoryPriority,
    requiredAnnotations: index.requiredAnnotations,
    requiredLabels: index.requiredLabels,
    architectures: index.architectures,
    skipFlatpakAnnotations: index.skipFlatpakAnnotations,
    skipFlatpakLabels: index.skipFlatpakLabels,
    extractIcons: index.extractIcons,
    remoteIconsUri: index.remoteIconsUri,
    lists: index.lists,
    screenshots: index.screenshots,
    icon: index.icon,
    flatpakAnnotations: index.flatpakAnnotations,
    forceFlatpakToken: index.forceFlatpakToken,
    deltas: index.deltas,
  };
  return definition;
}

/** Returns how a registry is reached, in a form that can be cloned. */
export function registryOptions(
  { username, password, authFile, ...registry }: RegistryConfig,
  { authFiles, proxies }: Config['access'],
): RegistryOptions {
  return {
    ...registry,
    credentials: username === undefined || password === undefined ? undefined : { username, password },
    authFiles: authFile === undefined ? authFiles : [{ path: authFile, required: true }],
    proxies,
    userAgent: `regindexer/${version}`,
  };
}
