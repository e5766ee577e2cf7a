/** `serve`: how fast answers are, beside the least that they could cost. */
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import type { Regindexer } from '../peers/regindexer.ts';
import { PROGRAM, startProgram } from './cli.ts';
import type { Benchmark } from './benchmark.ts';
import { APPS, IMAGES, startFilledRegistry } from './filled-registry.ts';
import { buildLargeState, LARGE_IMAGES, LARGE_REPOSITORIES } from './large-state.ts';
import { measuredRun } from './measured-run.ts';
import { everyImage, halfOfTheImages, hundredImages, latencyRow } from './query-latency.ts';
import { pushDelayTable } from './push-delay.ts';
import { rebuildDelayTable } from './rebuild-delay.ts';
import { rebuildMemoryTable } from './rebuild-memory.ts';
import { type Case, casesOf, ratesTable } from './serve-rates.ts';
import { startRebuildEnded } from './server-status.ts';
import type { Cell, Table } from './table.ts';

const EVENTS_TOKEN = 'benchmark';
/** Questions for half of a large index: each answer is some 100 MB. */
const HALVES = 11;
const QUESTION = `/index/static?${flatpakQuery('latest', 'amd64').canonical}`;

export const serve: Benchmark = {
  summary: 'rates, query times, delays while rebuilding and while much is pushed, and memory of the server',
  run: async function* () {
    yield* serveUsual();
    yield queriesTable(await largeQueries());
    yield await pushDelayTable();
  },
};

function queriesTable(rows: readonly (readonly Cell[])[]): Table {
  return {
    title: 'Questions whose answers are not kept (`/index/dynamic`, gzip, one after the other)',
    columns: [
      { name: 'question' },
      { name: 'selects' },
      { name: 'median ms', digits: 1 },
      { name: 'worst ms', digits: 1 },
      { name: 'event-loop delay: p99 ms', digits: 1 },
      { name: 'to reach' },
    ],
    rows,
  };
}

/** Over the registry of 2,000 images. */
async function* serveUsual(): AsyncGenerator<Table> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-serve-'));
  await using registry = await startFilledRegistry();
  const stateDir = join(folder.path, 'state');
  const configOf = (more: object = {}): string =>
    stringify({
      state_dir: stateDir,
      indexes: { apps: { registry: registry.url, extract_icons: true } },
      server: { port: 0, ...more },
    });

  process.stderr.write('building its index\n');
  const configFile = join(folder.path, 'config.yaml');
  await writeFile(configFile, configOf());
  await measuredRun([...PROGRAM, '--config', configFile, 'index']);

  const cases = await casesWith(configOf());
  yield await ratesTable(() => startSettled(configOf()), cases, folder.path);
  yield queriesTable(await usualQueries(configOf()));
  yield await rebuildDelayTable(configOf(), stateDir, cases);
  yield await usualMemory(registry.url, configOf({ events_token: EVENTS_TOKEN }));
}

/** Starts a server on what was built for it before, and waits until it has seen that nothing has changed. */
async function startSettled(config: string): Promise<Regindexer> {
  const server = await startProgram({ config });
  await startRebuildEnded(server.url);
  return server;
}

async function casesWith(config: string): Promise<readonly Case[]> {
  await using server = await startSettled(config);
  return await casesOf(server.url, QUESTION);
}

async function usualMemory(registryUrl: string, config: string): Promise<Table> {
  await using server = await startSettled(config);
  return await rebuildMemoryTable(registryUrl, { url: server.url, pid: server.pid, eventsToken: EVENTS_TOKEN });
}

async function usualQueries(config: string): Promise<readonly (readonly Cell[])[]> {
  await using server = await startSettled(config);
  const over = `over ${IMAGES.toLocaleString('en')} images`;
  return [
    await latencyRow(over, server.url, 100, hundredImages(APPS.repositories), '≤ 15 ms'),
    await latencyRow(over, server.url, IMAGES, everyImage(), '≤ 60 ms'),
  ];
}

/** Over 50,000 images in 4 indexes. */
async function largeQueries(): Promise<readonly (readonly Cell[])[]> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-serve-'));
  const { config } = await buildLargeState(folder.path);
  const over = 'over 50,000 images';
  const rows: (readonly Cell[])[] = [];
  // One for each, so that its event loop's delay is that of these questions.
  {
    await using server = await startSettled(config);
    rows.push(await latencyRow(over, server.url, 100, hundredImages(LARGE_REPOSITORIES), '≤ 60 ms'));
  }
  await using server = await startSettled(config);
  return [...rows, await latencyRow(over, server.url, LARGE_IMAGES / 2, halfOfTheImages(), 'p99 ≤ 15 ms', HALVES)];
}
