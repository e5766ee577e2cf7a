/**
 * What the indexing thread of the leading replica does, over a registry that is made up.
 *
 *     random-leader.ts REPOSITORIES CONFIG LEASE
 *
 * is forked by who holds the lease (JSON). It builds the indexes of CONFIG into its store, and sends the
 * `RebuildResult`. Then it pushes another version of each repository that it is sent the number of, and sends the digest
 * before it is read.
 */
import '../../src/system/memory.ts';
import { indexingOptions } from '../../src/app/indexing-options.ts';
import { readConfig } from '../../src/config/read-config.ts';
import { FORMAT } from '../../src/indexing/chunk/part.ts';
import { Indexer } from '../../src/indexing/indexer.ts';
import { EVERYTHING, type RebuildResult } from '../../src/indexing/rebuild.ts';
import { connectionOf } from '../../src/store/postgres/connection.ts';
import { fence, type HeldLease } from '../../src/store/postgres/lease.ts';
import { PostgresStore } from '../../src/store/postgres/postgres-store.ts';
import { randomRepository } from '../sources/random-images.ts';
import { RandomRegistry } from '../sources/random-registry.ts';
import { PUSHED_TAG } from './push-watch.ts';
import { NO_REGISTRY, usualApps } from './random-state.ts';

const [repositories, configFile = '', lease = ''] = process.argv.slice(2);
const config = readConfig(configFile, {});
const { stateDir: _, ...options } = indexingOptions(config);
if (config.store === undefined) throw new TypeError('the configuration has no store');

const registry = new RandomRegistry({ ...usualApps(Number(repositories)), id: NO_REGISTRY });
const indexer = await Indexer.open({
  ...options,
  sources: new Map([[registry.id, registry]]),
  concurrency: () => 16,
  // Usual images reach the limit of a registry when there are about 115,000.
  maxStored: Infinity,
  store: await PostgresStore.open(connectionOf(config.store), {
    format: FORMAT,
    fence: (query, database) => fence(query, JSON.parse(lease) as HeldLease, database),
  }),
  onWarning: fail,
});
const built = sound(await indexer.rebuild(registry.id, EVERYTHING));
await indexer.settled();
process.send?.(built);

process.on('disconnect', () => process.exit());
process.on('message', (number: number) => void push(randomRepository(number)));

async function push(repository: string): Promise<void> {
  process.send?.(await registry.push(repository, PUSHED_TAG));
  const tags = new Map([[repository, new Set([PUSHED_TAG])]]);
  sound(await indexer.rebuild(registry.id, { indexes: new Set(), repositories: tags }));
}

function sound(result: RebuildResult): RebuildResult {
  for (const { error } of result.failures) fail(error);
  for (const { error, warnings } of result.indexes)
    for (const problem of error === undefined ? warnings : [error]) fail(problem);
  return result;
}

function fail(warning: string): never {
  throw new Error(warning);
}
