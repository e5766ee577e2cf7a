/** `push`: how soon a push is in the index, and what it costs, whatever the size of the catalog. */
import { setTimeout as pause } from 'node:timers/promises';
import { request } from 'undici';
import { freePort } from '../peers/free-port.ts';
import { startProgram } from './cli.ts';
import { pushRandomVersion } from '../sources/push-random.ts';
import { randomRepository } from '../sources/random-images.ts';
import type { Benchmark } from './benchmark.ts';
import type { StoredApps } from './fill-storage.ts';
import { median } from './median.ts';
import { cpuSeconds, idle } from './process-usage.ts';
import { startNotifyingRegistry } from './notifying-registry.ts';
import { pushFloor } from './push-floor.ts';
import { PUSHED_TAG, PushWatch, type Shown, watchedIndexes } from './push-watch.ts';
import { usualApps } from './random-state.ts';
import { startRebuildEnded } from './server-status.ts';
import type { Cell, Table } from './table.ts';

const PUSHES = 20;
/** Of tags that the random source numbers, those that were not pushed before. */
const FIRST_VERSION = 10_000;

const TOKEN = 'benchmark';

/** What a registry holds before the pushes that are measured. */
interface Holding {
  readonly name: string;
  readonly apps: StoredApps;
  readonly target: string;
}

const HOLDINGS: Readonly<Record<string, Holding>> = {
  '2000': { name: '2,000 images', apps: usualApps(500), target: '' },
  '10000': { name: '10,000 images', apps: usualApps(2_500), target: '≤ 250 ms, ≤ 0.15 CPU s' },
  '50000': { name: '50,000 images', apps: usualApps(12_500), target: '≤ 300 ms, ≤ 1.5 × that of 2,000' },
  tags: {
    name: 'a repository of 2,000 tags',
    apps: { repositories: 1, tags: tags(2_000), architectures: ['amd64'] },
    target: '',
  },
  wide: {
    name: '1,000 repositories of 500 tags',
    apps: { repositories: 1_000, tags: tags(500), versions: 5, architectures: ['amd64'] },
    target: '',
  },
};

function tags(count: number): readonly string[] {
  return [PUSHED_TAG, ...Array.from({ length: count - 1 }, (_, number) => `v${number + 1}`)];
}

/** All unless the environment names some: `BENCH_PUSH=2000,tags`. */
const CHOSEN = (process.env['BENCH_PUSH'] ?? Object.keys(HOLDINGS).join(',')).split(',');

export const push: Benchmark = {
  summary: `from a push to the index, and what it costs: ${CHOSEN.join(', ')} (BENCH_PUSH chooses)`,
  run: async () => {
    const rows: (readonly Cell[])[] = [];
    for (const name of CHOSEN) {
      const holding = Object.hasOwn(HOLDINGS, name) ? HOLDINGS[name] : undefined;
      if (holding === undefined)
        throw new Error(`BENCH_PUSH is ${CHOSEN.join()}; there is ${Object.keys(HOLDINGS).join(', ')}`);
      rows.push(...(await measure(holding)));
    }
    return [table(rows)];
  },
};

function table(rows: Table['rows']): Table {
  return {
    title: `A push to a registry that notifies, 2 indexes (${PUSHES} pushes each; from the end of the push until both indexes show it)`,
    columns: [
      { name: 'the registry holds' },
      { name: 'median ms' },
      { name: 'worst ms' },
      { name: 'median ms, whole answer' },
      { name: 'CPU s a push', digits: 3 },
      { name: 'requests a push', digits: 1 },
      { name: 'to reach' },
    ],
    rows,
  };
}

async function measure({ name, apps, target }: Holding): Promise<readonly (readonly Cell[])[]> {
  const port = await freePort();
  await using registry = await startNotifyingRegistry(apps, { url: `http://127.0.0.1:${port}/events`, token: TOKEN });
  await using server = await startProgram({
    config: {
      indexes: watchedIndexes(registry.url),
      server: { port, events_token: TOKEN },
    },
  });
  process.stderr.write(`${name}: the first scan\n`);
  await startRebuildEnded(server.url);
  await idle(server.pid);

  process.stderr.write(`${name}: ${PUSHES} pushes\n`);
  const watch = await PushWatch.open(server.url);
  const floor: number[] = [];
  const shown: Shown[] = [];
  const [cpuBefore, requestsBefore, started] = [
    await cpuSeconds(server.pid),
    await requestsMade(server.url),
    performance.now(),
  ];
  let polls = 0;
  for (let number = 0; number < PUSHES; number++) {
    const repository = (number * 7_919) % apps.repositories;
    const digest = await pushRandomVersion(registry.url, repository, FIRST_VERSION + number, PUSHED_TAG, apps);
    const one = await watch.until(digest);
    polls += one.polls;
    shown.push(one);
    await idle(server.pid);
    floor.push(await pushFloor(registry.url, randomRepository(repository), PUSHED_TAG));
  }
  const requests = (await requestsMade(server.url)) - requestsBefore;
  const seconds = (performance.now() - started) / 1000;
  const cpu = (await cpuSeconds(server.pid)) - cpuBefore;

  process.stderr.write(`${name}: the same polling without pushes\n`);
  const polling = await cpuOfPolling(watch, server.pid, Math.ceil(polls / PUSHES), seconds);
  await watch.close();
  return [
    [`${name}: floor`, median(floor), Math.max(...floor), '', '', '', ''],
    [
      name,
      median(shown.map(({ head }) => head)),
      Math.max(...shown.map(({ head }) => head)),
      median(shown.map(({ whole }) => whole)),
      (cpu - polling) / PUSHES,
      requests / PUSHES,
      target,
    ],
  ];
}

/** What it costs the server to be asked the same for as long while nothing is pushed. */
async function cpuOfPolling(watch: PushWatch, pid: number, polls: number, seconds: number): Promise<number> {
  const [before, end] = [await cpuSeconds(pid), performance.now() + seconds * 1000];
  for (let number = 0; number < PUSHES; number++) await watch.unchanged(polls);
  await pause(Math.max(0, end - performance.now()));
  return (await cpuSeconds(pid)) - before;
}

/** Requests to registries that the server has counted. */
async function requestsMade(url: string): Promise<number> {
  const { body } = await request(`${url}/metrics`);
  let requests = 0;
  for (const [, value] of (await body.text()).matchAll(/^regindexer_registry_requests_total\{.*\} (\d+)$/gm))
    requests += Number(value);
  return requests;
}
