/** Options of the indexing thread, from the configuration. */
import type { IndexingOptions } from './recovering-indexer.ts';
import type { Config, RegistryConfig } from '../config/config.ts';
import type { RegistryOptions } from '../registry/create-registry-source.ts';
import { version } from '../system/version.ts';

/** Returns the options of the indexer, in a form that can be cloned. */
export function indexingOptions(config: Config): IndexingOptions {
  const { stateDir, iconsDir, iconsUri, cleanFilesAfter, registries, indexes } = config;
  return {
    stateDir,
    iconsDir,
    iconsUri,
    cleanFilesAfter,
    registries: [...registries.values()].map((registry) => registryOptions(registry, config.access)),
    definitions: indexes,
  };
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
