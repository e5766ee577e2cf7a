/** How soon every one of several replicas shows a push, and what it costs them and their database. */
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../peers/free-port.ts';
import { randomRepository } from '../sources/random-images.ts';
import { pushRandomVersion } from '../sources/push-random.ts';
import type { StoredApps } from './fill-storage.ts';
import { median } from './median.ts';
import { startNotifyingRegistry } from './notifying-registry.ts';
import { idle } from './process-usage.ts';
import { pushFloor } from './push-floor.ts';
import { PUSHED_TAG, PushWatch, type Shown, watchedIndexes } from './push-watch.ts';
import { type DatabaseUser, type SharedUsage, usageOf, usedBetween } from './replica-usage.ts';
import { startRebuildEnded } from './server-status.ts';
import { SharedDatabase, startReplicas } from './shared-service.ts';
import type { Cell, Table } from './table.ts';

export const REPLICAS = 3;
const PUSHES = 20;
/** Of tags that the random source numbers, those that were not pushed before. */
const FIRST_VERSION = 10_000;
const TOKEN = 'benchmark';

/** What was measured of pushes to so many images. */
export interface MeasuredPushes {
  /** What the registry holds. */
  readonly name: string;
  /** Milliseconds of the least that each could take. */
  readonly floor: readonly number[];
  readonly shown: readonly Shown[];
  /** Of all pushes together, without what is used while nothing is pushed. */
  readonly used: SharedUsage;
}

/**
 * Pushes to a registry that notifies a replica that does not lead.
 * @param name what the registry holds
 */
export async function measurePushes(name: string, apps: StoredApps): Promise<MeasuredPushes> {
  const port = await freePort();
  await using registry = await startNotifyingRegistry(apps, { url: `http://127.0.0.1:${port}/events`, token: TOKEN });
  await using database = await SharedDatabase.start();
  await using replicas = await startReplicas({
    database,
    count: REPLICAS,
    config: { indexes: watchedIndexes(registry.url), server: { events_token: TOKEN } },
    lastPort: port,
    onFirst: async ({ url }) => {
      process.stderr.write(`${name}: the first scan\n`);
      await startRebuildEnded(url);
    },
  });
  const [leader, ...followers] = replicas.all;
  return await measureEach({
    name,
    leader,
    followers,
    urls: replicas.all.map(({ url }) => url),
    database,
    push: async (number) => {
      const repository = (number * 7_919) % apps.repositories;
      return {
        digest: await pushRandomVersion(registry.url, repository, FIRST_VERSION + number, PUSHED_TAG, apps),
        floor: () => pushFloor(registry.url, randomRepository(repository), PUSHED_TAG),
      };
    },
  });
}

/** A push that has just ended. */
interface Pushed {
  readonly digest: string;
  /** Milliseconds of the least that it could take; measured when all is quiet again. */
  readonly floor?: () => Promise<number>;
}

/** Options of {@link measureEach}. */
interface PushOptions {
  /** What the registry holds. */
  readonly name: string;
  readonly leader: DatabaseUser;
  readonly followers: readonly DatabaseUser[];
  /** The replicas that have to show each push. */
  readonly urls: readonly string[];
  readonly database: SharedDatabase;
  /** Pushes once more; its number counts from 0. */
  readonly push: (number: number) => Promise<Pushed>;
}

/** Measures pushes, one after another. */
export async function measureEach(options: PushOptions): Promise<MeasuredPushes> {
  const { name, leader, followers, urls, database, push } = options;
  const allIdle = async (): Promise<void> => {
    for (const { pid } of [leader, ...followers]) await idle(pid);
  };
  const usage = (): Promise<SharedUsage> => usageOf(leader, followers, database);
  await allIdle();

  process.stderr.write(`${name}: ${PUSHES} pushes\n`);
  const watch = await PushWatch.open(...urls);
  const floor: number[] = [];
  const shown: Shown[] = [];
  const [before, started] = [await usage(), performance.now()];
  for (let number = 0; number < PUSHES; number++) {
    const pushed = await push(number);
    shown.push(await watch.until(pushed.digest));
    await allIdle();
    if (pushed.floor !== undefined) floor.push(await pushed.floor());
  }
  const pushes = usedBetween(before, await usage());
  const seconds = (performance.now() - started) / 1000;

  process.stderr.write(`${name}: the same polling without pushes\n`);
  const polls = shown.reduce((sum, each) => sum + each.polls, 0);
  const [beforePolling, end] = [await usage(), performance.now() + seconds * 1000];
  for (let number = 0; number < PUSHES; number++) await watch.unchanged(Math.ceil(polls / PUSHES));
  await pause(Math.max(0, end - performance.now()));
  const polling = usedBetween(beforePolling, await usage());
  await watch.close();
  return { name, floor, shown, used: usedBetween(polling, pushes) };
}

export function timesTable(measured: readonly MeasuredPushes[], targets: ReadonlyMap<string, string>): Table {
  return {
    title: `A push with ${REPLICAS} replicas over PostgreSQL, 2 indexes (${PUSHES} pushes each; from the end of the push until both indexes of every replica show it)`,
    columns: [
      { name: 'the registry holds' },
      { name: 'median ms' },
      { name: 'worst ms' },
      { name: 'median ms, whole answer' },
      { name: 'CPU s a push: leader', digits: 3 },
      { name: 'a follower', digits: 3 },
      { name: 'PostgreSQL', digits: 3 },
      { name: 'to reach' },
    ],
    rows: measured.flatMap(({ name, floor, shown, used }): readonly (readonly Cell[])[] => [
      ...(floor.length === 0 ? [] : [[`${name}: floor`, median(floor), Math.max(...floor), '', '', '', '', '']]),
      [
        name,
        median(shown.map(({ head }) => head)),
        Math.max(...shown.map(({ head }) => head)),
        median(shown.map(({ whole }) => whole)),
        used.leader.cpu / PUSHES,
        used.follower.cpu / PUSHES,
        used.database.cpu / PUSHES,
        targets.get(name) ?? '',
      ],
    ]),
  };
}

export function trafficTable(measured: readonly MeasuredPushes[]): Table {
  return {
    title: 'Those pushes between replicas and PostgreSQL (both indexes; without what is said while nothing is pushed)',
    columns: [
      { name: 'the registry holds' },
      { name: 'kB of its chunks' },
      { name: 'round trips: leader' },
      { name: 'a follower' },
      { name: 'kB sent by the leader' },
      { name: 'kB received by it' },
      { name: 'kB received by a follower' },
      { name: 'kB of WAL' },
    ],
    rows: measured.map(({ name, used: { leader, follower, database } }) => [
      name,
      database.chunks / PUSHES / 1000,
      leader.roundTrips / PUSHES,
      follower.roundTrips / PUSHES,
      leader.sent / PUSHES / 1000,
      leader.received / PUSHES / 1000,
      follower.received / PUSHES / 1000,
      database.wal / PUSHES / 1000,
    ]),
  };
}
