/** Which part of the configuration those who build need. */
import type { BuildOptions } from './build.ts';
import type { Config } from './config/config.ts';
import type { RegistryOptions } from './registry/create-registry-source.ts';

export function buildOptions({ stateDir, iconsDir, iconsUri, cleanFilesAfter, registries, indexes }: Config): BuildOptions {
  return { stateDir, iconsDir, iconsUri, cleanFilesAfter, registries: registryOptions(registries), definitions: indexes };
}

function registryOptions(registries: Config['registries']): RegistryOptions[] {
  return [...registries.values()].map(({ id, repositories, username, password, concurrency, timeout }) => ({
    id,
    repositories,
    ...(username !== undefined && password !== undefined && { credentials: { username, password } }),
    concurrency,
    timeout,
  }));
}
