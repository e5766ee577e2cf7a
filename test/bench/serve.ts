/** `serve`: how fast answers are, beside the least that they could cost. */
import { cp, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import { type Regindexer, startRegindexer } from '../peers/regindexer.ts';
import type { Benchmark } from './benchmark.ts';
import { CLI } from './cli.ts';
import { APPS, IMAGES, startFilledRegistry } from './filled-registry.ts';
import { buildLargeState, LARGE_REPOSITORIES } from './large-state.ts';
import { measuredRun } from './measured-run.ts';
import { everyImage, hundredImages, latencyRow } from './query-latency.ts';
import { queryMemoryTable } from './query-memory.ts';
import { rebuildDelayTable } from './rebuild-delay.ts';
import { rebuildMemoryTable } from './rebuild-memory.ts';
import { type Case, casesOf, ratesTable } from './serve-rates.ts';
import { startRebuildEnded } from './server-status.ts';
import type { Cell, Table } from './table.ts';
import { workerCostTable } from './worker-cost.ts';

const EVENTS_TOKEN = 'benchmark';
const QUESTION = `/index/static?${flatpakQuery('latest', 'amd64').canonical}`;

export const serve: Benchmark = {
  summary: 'rates, query times, delays while rebuilding, memory and CPU time of the server',
  run: async () => {
    const usual = await serveUsual();
    const large = await serveLarge();
    const queries: Table = {
      title: 'Questions whose answers are not kept (`/index/dynamic`, gzip, one after the other)',
      columns: [{ name: 'question' }, { name: 'selects' }, { name: 'median ms', digits: 1 }, { name: 'worst ms', digits: 1 }, { name: 'to reach' }],
      rows: [...usual.queries, ...large.queries],
    };
    return [usual.rates, queries, usual.rebuild, large.memory, usual.memory, usual.workers];
  },
};

/** Over the registry of 2,000 images. */
async function serveUsual(): Promise<{ rates: Table; queries: readonly (readonly Cell[])[]; rebuild: Table; memory: Table; workers: Table }> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-serve-'));
  await using registry = await startFilledRegistry();
  const stateDir = (workers: number): string => join(folder.path, `state-${workers}`);
  const configOf = (workers: number, more: object = {}): string =>
    stringify({
      state_dir: stateDir(workers),
      indexes: { apps: { registry: registry.url, extract_icons: true } },
      server: { port: 0, workers, ...more },
    });

  process.stderr.write('building its index\n');
  const configFile = join(folder.path, 'config.yaml');
  await writeFile(configFile, configOf(1));
  await measuredRun([CLI, '--config', configFile, 'index']);
  await cp(stateDir(1), stateDir(2), { recursive: true });

  const cases = await casesWith(configOf(1));
  const rates = await ratesTable(() => startBuilt(configOf(1)), cases, folder.path);
  const queries = await usualQueries(configOf(1));
  const workers = await workerCostTable((threads) => startBuilt(configOf(threads)), cases, folder.path);
  const rebuild = await rebuildDelayTable(configOf(1), stateDir(1), cases);
  return { rates, queries, rebuild, memory: await usualMemory(registry.url, configOf(1, { events_token: EVENTS_TOKEN })), workers };
}

/** Starts a server on what was built for it before, and waits until it has seen that nothing has changed. */
async function startBuilt(config: string): Promise<Regindexer> {
  const server = await startRegindexer({ config });
  await startRebuildEnded(server.url);
  return server;
}

async function casesWith(config: string): Promise<readonly Case[]> {
  await using server = await startBuilt(config);
  return await casesOf(server.url, QUESTION);
}

async function usualMemory(registryUrl: string, config: string): Promise<Table> {
  await using server = await startBuilt(config);
  return await rebuildMemoryTable(registryUrl, { url: server.url, pid: server.pid, eventsToken: EVENTS_TOKEN });
}

async function usualQueries(config: string): Promise<readonly (readonly Cell[])[]> {
  await using server = await startBuilt(config);
  const over = `over ${IMAGES.toLocaleString('en')} images`;
  return [
    await latencyRow(over, server.url, 100, hundredImages(APPS.repositories), '≤ 15 ms'),
    await latencyRow(over, server.url, IMAGES, everyImage(), '≤ 60 ms'),
  ];
}

/** Over 50,000 images in 4 indexes. */
async function serveLarge(): Promise<{ queries: readonly (readonly Cell[])[]; memory: Table }> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-serve-'));
  const { config } = await buildLargeState(folder.path);
  await using server = await startBuilt(config);
  const queries = [await latencyRow('over 50,000 images', server.url, 100, hundredImages(LARGE_REPOSITORIES), '≤ 150 ms')];
  return { queries, memory: await queryMemoryTable(server.url, server.pid) };
}
