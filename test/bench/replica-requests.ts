/** What a request costs one and two replicas, beside as many bare servers. */
import { mkdir, mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import { freePort } from '../peers/free-port.ts';
import { startBareServer } from './constant-answer.ts';
import { inTurns, load, loadProgram } from './load.ts';
import { median } from './median.ts';
import { startNotifyingRegistry } from './notifying-registry.ts';
import { cpuSeconds } from './process-usage.ts';
import { PUSHED_TAG, watchedIndexes } from './push-watch.ts';
import { usualApps } from './random-state.ts';
import { type Case, casesOf } from './serve-rates.ts';
import { startRebuildEnded } from './server-status.ts';
import { SharedDatabase, startReplicas } from './shared-service.ts';
import type { Cell, Table } from './table.ts';

const APPS = usualApps(500);
const TURNS = 9;

/** Some processes of one program, each of which is asked for the same. */
interface Servers {
  readonly name: string;
  readonly processes: readonly { readonly pid: number; readonly url: string }[];
  /** As many bare servers. */
  readonly bare?: Servers;
}

interface Cost {
  readonly requestsPerSecond: number;
  /** Of one request, in seconds. */
  readonly cpu: number;
}

export async function requestsTable(): Promise<Table> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-replica-requests-'));
  // Nobody is notified.
  const nowhere = { url: `http://127.0.0.1:${await freePort()}/events`, token: 'benchmark' };
  await using registry = await startNotifyingRegistry(APPS, nowhere);
  await using database = await SharedDatabase.start();
  await using replicas = await startReplicas({
    database,
    count: 2,
    config: { indexes: watchedIndexes(registry.url) },
    onFirst: async ({ url }) => startRebuildEnded(url),
  });
  const cases = await casesOf(replicas.all[0].url, `/index/static?${flatpakQuery(PUSHED_TAG, 'amd64').canonical}`);
  const answers = cases.map(({ answer }) => answer);
  await using one = await startBareServer(answers);
  await using other = await startBareServer(answers);

  const rows: (readonly Cell[])[] = [];
  for (const each of cases) {
    process.stderr.write(`load: ${each.name}\n`);
    const bare = [one, other].map(({ pid, urlOf }) => ({ pid, url: urlOf(each.answer) }));
    const served = replicas.all.map(({ pid, url }) => ({ pid, url: url + each.answer.path }));
    const servers = [1, 2].flatMap((count): readonly Servers[] => {
      const beside = { name: `${count} bare Fastify`, processes: bare.slice(0, count) };
      const name = count === 1 ? '1 replica' : `${count} replicas`;
      return [beside, { name, processes: served.slice(0, count), bare: beside }];
    });
    const costs = await inTurns(servers, TURNS, (measured, seconds) => costOf(each, measured, seconds, folder.path));
    const middle = (its: Servers, key: keyof Cost): number => median((costs.get(its) ?? []).map((cost) => cost[key]));
    for (const its of servers) {
      rows.push([
        each.name,
        each.answer.body.length,
        its.name,
        middle(its, 'requestsPerSecond'),
        middle(its, 'cpu') * 1e6,
        middle(its, 'cpu') / middle(its.bare ?? its, 'cpu'),
      ]);
    }
  }
  return {
    title: `What a request costs 1 and 2 replicas, beside as many bare servers, all of them asked at once by ${loadProgram()} (medians of ${TURNS} turns)`,
    columns: [
      { name: 'request' },
      { name: 'bytes' },
      { name: 'servers' },
      { name: 'requests/s of all' },
      { name: 'CPU µs a request', digits: 1 },
      { name: '× bare', digits: 2 },
    ],
    rows,
  };
}

/** Asks all processes at once. */
async function costOf(
  { headers, answer: { status } }: Case,
  { processes }: Servers,
  seconds: number,
  folder: string,
): Promise<Cost> {
  const cpu = async (): Promise<number> => {
    let sum = 0;
    for (const { pid } of processes) sum += await cpuSeconds(pid);
    return sum;
  };
  const before = await cpu();
  const loads = await Promise.all(
    processes.map(async ({ url }, number) => {
      const own = join(folder, String(number));
      await mkdir(own, { recursive: true });
      return load({ url, headers, status, seconds, folder: own });
    }),
  );
  const used = (await cpu()) - before;
  return {
    requestsPerSecond: loads.reduce((sum, each) => sum + each.requestsPerSecond, 0),
    cpu: used / loads.reduce((sum, { requests }) => sum + requests, 0),
  };
}
