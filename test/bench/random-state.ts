/** The state of a server over a random registry, made without a registry. */
import { indexingOptions } from '../../src/app/indexing-options.ts';
import { readConfig } from '../../src/config/read-config.ts';
import { Indexer } from '../../src/indexing/indexer.ts';
import type { RebuildResult } from '../../src/indexing/rebuild.ts';
import { EVERYTHING } from '../../src/indexing/rebuild.ts';
import { makeFolder } from '../../src/system/make-folder.ts';
import { SqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { RandomApps } from '../sources/random-images.ts';
import { RandomRegistry } from '../sources/random-registry.ts';

/** A registry's URL at which nobody listens: the port is that of an ancient service that throws away what it gets. */
export const NO_REGISTRY = 'http://127.0.0.1:9';

/** So many apps in two tags and for two architectures: four images each. */
export function usualApps(repositories: number): RandomApps {
  return { repositories, tags: ['latest', 'stable'], architectures: ['amd64', 'arm64'] };
}

/** Makes up all that a build of this reads, and nothing else; what that costs is no work of the program. */
export async function readRandomSource(apps: RandomApps): Promise<void> {
  await using registry = Object.assign(new RandomRegistry(apps), { [Symbol.asyncDispose]: () => registry.close() });
  for await (const page of registry.repositories()) {
    for (const repository of page) {
      for (const tag of await registry.tags()) {
        const read = await registry.manifest(repository, tag);
        for (const { digest } of read.kind === 'index' ? read.manifests : []) {
          const image = await registry.manifest(repository, digest);
          if (image.kind === 'image') await registry.config(repository, image);
        }
      }
    }
  }
}

/**
 * A build as `regindexer index` with this configuration does it, but that what {@link NO_REGISTRY} holds is made up.
 */
export async function buildRandomState(configFile: string, apps: RandomApps): Promise<RebuildResult> {
  const { stateDir, ...config } = indexingOptions(readConfig(configFile, {}));
  makeFolder(stateDir);
  const store = SqliteStore.open(stateDir, fail);
  const registry = new RandomRegistry({ ...apps, id: NO_REGISTRY });
  const indexer = await Indexer.open({
    ...config,
    sources: new Map([[registry.id, registry]]),
    concurrency: () => 16,
    store,
    onWarning: fail,
  });
  const result = await indexer.rebuild(registry.id, EVERYTHING);
  await indexer.settled();
  await store.close();
  const problems = [
    ...result.failures.map(({ error }) => error),
    ...result.indexes.flatMap(({ error, warnings }) => [...(error === undefined ? [] : [error]), ...warnings]),
  ];
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return result;
}

function fail(warning: string): never {
  throw new Error(warning);
}
