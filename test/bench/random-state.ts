/** The state of a server over a random registry, made without a registry. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buildOptions } from '../../src/build-options.ts';
import { snapshotsDir } from '../../src/build.ts';
import { SqliteCatalog } from '../../src/catalog/sqlite-catalog.ts';
import { readConfig } from '../../src/config/read-config.ts';
import { Indexer } from '../../src/indexing/indexer.ts';
import type { RebuildResult } from '../../src/indexing/rebuild.ts';
import { EVERYTHING } from '../../src/indexing/rebuild.ts';
import type { RandomApps } from '../sources/random-images.ts';
import { RandomRegistry } from '../sources/random-registry.ts';

/** A registry's URL at which nobody listens: the port is that of an ancient service that throws away what it gets. */
export const NO_REGISTRY = 'http://127.0.0.1:9';

/** So many apps in two tags and for two architectures: four images each. */
export function usualApps(repositories: number): RandomApps {
  return { repositories, tags: ['latest', 'stable'], architectures: ['amd64', 'arm64'] };
}

/** A build as `regindexer index` with this configuration does it, but that what {@link NO_REGISTRY} holds is made up. */
export async function buildRandomState(configFile: string, apps: RandomApps): Promise<RebuildResult> {
  const config = buildOptions(readConfig(configFile, {}));
  await mkdir(config.stateDir, { recursive: true });
  const catalog = SqliteCatalog.open(join(config.stateDir, 'catalog.sqlite'), { onWarning: fail });
  const registry = new RandomRegistry({ ...apps, id: NO_REGISTRY });
  const indexer = await Indexer.open({
    ...config,
    sources: new Map([[registry.id, registry]]),
    concurrency: () => 16,
    catalog,
    snapshotsDir: snapshotsDir(config.stateDir),
    onWarning: fail,
  });
  const result = await indexer.rebuild(registry.id, EVERYTHING);
  catalog.close();
  const problems = [...result.failures.map(({ error }) => error), ...result.indexes.flatMap(({ error, warnings }) => [...(error === undefined ? [] : [error]), ...warnings])];
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return result;
}

function fail(warning: string): never {
  throw new Error(warning);
}
