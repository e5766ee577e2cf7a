/** What very many made-up images cost replicas and their database. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import type { RebuildResult } from '../../src/indexing/rebuild.ts';
import { connectionOf } from '../../src/store/postgres/connection.ts';
import { type HeldLease, Leadership } from '../../src/store/postgres/lease.ts';
import { migrate } from '../../src/store/postgres/migrations.ts';
import { PostgresDatabase } from '../../src/store/postgres/postgres-database.ts';
import { NODE_OPTIONS } from './cli.ts';
import { startCountingProxy } from './counting-proxy.ts';
import { measuredRun } from './measured-run.ts';
import { cpuSeconds, memoryOf } from './process-usage.ts';
import { PUSHED_TAG, watchedIndexes } from './push-watch.ts';
import { NO_REGISTRY } from './random-state.ts';
import { measureEach, type MeasuredPushes, REPLICAS } from './replica-pushes.ts';
import { firstAnswer } from './server-status.ts';
import { SharedDatabase, startReplicas } from './shared-service.ts';
import type { Cell, Table } from './table.ts';

const RANDOM_LEADER = fileURLToPath(new URL('./random-leader.ts', import.meta.url));
const INDEX_RANDOM = fileURLToPath(new URL('./index-random.ts', import.meta.url));

/** Images of each made-up app. */
const IMAGES_OF_AN_APP = 4;
const QUESTION = `/index/static?${flatpakQuery(PUSHED_TAG, 'amd64').canonical}`;

export interface MeasuredRandom {
  readonly costs: Table;
  readonly pushes: MeasuredPushes;
}

/**
 * Builds so many images into a database, starts replicas that have nothing yet, and pushes. A process of its own leads,
 * because only that can read what is made up.
 */
export async function measureRandom(images: number): Promise<MeasuredRandom> {
  const repositories = images / IMAGES_OF_AN_APP;
  const name = `${images.toLocaleString('en')} images, made up`;
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-random-'));
  await using database = await SharedDatabase.start();
  await using proxy = await startCountingProxy(database.port);
  const config = { indexes: watchedIndexes(NO_REGISTRY) };
  const configFile = join(folder.path, 'config.yaml');
  await writeFile(configFile, stringify({ ...config, state_dir: folder.path, store: database.store(proxy.port) }));

  process.stderr.write(`${name}: making up their registry alone\n`);
  const source = await measuredRun([...NODE_OPTIONS, INDEX_RANDOM, 'source', String(repositories)]);
  process.stderr.write(`${name}: building them\n`);
  await using lease = await holdLease(database);
  const before = await database.figures();
  const started = performance.now();
  await using leader = startLeader([String(repositories), configFile, JSON.stringify(lease.held)]);
  const { newImages } = (await messageFrom(leader.child)) as RebuildResult;
  const built = {
    seconds: (performance.now() - started) / 1000,
    cpu: await cpuSeconds(leader.pid),
    memory: (await memoryOf(leader.pid)).peak,
    database: await database.figures(),
  };
  const rows: Cell[][] = [
    [
      `build of ${newImages.toLocaleString('en')} new images (peak memory)`,
      built.seconds,
      built.cpu,
      built.memory / 1e6,
    ],
    ['of that, the made-up registry alone', source.seconds, source.cpu, source.peakMemory / 1e6],
    ['PostgreSQL meanwhile (size of the database)', '', built.database.cpu - before.cpu, built.database.size / 1e6],
    ['of that, chunks', '', '', built.database.chunks / 1e6],
    ['write-ahead log of the build', '', '', (built.database.wal - before.wal) / 1e6],
  ];

  process.stderr.write(`${name}: starting a replica\n`);
  const startedFresh = performance.now();
  await using replicas = await startReplicas({
    database,
    count: REPLICAS,
    config,
    onFirst: async ({ url, pid, proxy: { traffic } }) => {
      await firstAnswer(url + QUESTION);
      const seconds = (performance.now() - startedFresh) / 1000;
      rows.push(
        ['start of a fresh replica to its first answer', seconds, await cpuSeconds(pid), ''],
        ['read from the database meanwhile', '', '', traffic().received / 1e6],
      );
    },
  });
  const pushes = await measureEach({
    name,
    leader: { pid: leader.pid, proxy },
    followers: replicas.all,
    urls: replicas.all.map(({ url }) => url),
    database,
    push: async (number) => {
      leader.child.send((number * 7_919) % repositories);
      return { digest: String(await messageFrom(leader.child)) };
    },
  });
  const [{ pid }] = replicas.all;
  const memory = await memoryOf(pid);
  rows.push(
    ['memory of a replica after the pushes', '', '', memory.now / 1e6],
    ['its peak', '', '', memory.peak / 1e6],
  );
  return {
    pushes,
    costs: {
      title: `${name}, in 2 indexes over PostgreSQL`,
      columns: [{ name: 'what' }, { name: 'seconds', digits: 1 }, { name: 'CPU s', digits: 1 }, { name: 'MB' }],
      rows,
    },
  };
}

/** Holds the lease, so that no replica leads. */
async function holdLease(database: SharedDatabase): Promise<AsyncDisposable & { readonly held: HeldLease }> {
  const connection = connectionOf({ url: database.store(database.port), password: undefined });
  const tables = new PostgresDatabase(connection);
  await migrate(tables);
  await tables.close();
  const { promise, resolve } = Promise.withResolvers<HeldLease>();
  const leadership = new Leadership({
    connection,
    holder: 'benchmark',
    onAcquired: resolve,
    // The leader's next write fails.
    onLost: () => undefined,
  });
  leadership.start();
  return { held: await promise, [Symbol.asyncDispose]: () => leadership.stop() };
}

function startLeader(
  args: readonly string[],
): AsyncDisposable & { readonly child: ChildProcess; readonly pid: number } {
  const child = fork(RANDOM_LEADER, args, {
    execArgv: [...NODE_OPTIONS],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  if (child.pid === undefined) throw new Error(`${RANDOM_LEADER} could not be started`);
  return {
    child,
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null) return;
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    },
  };
}

/** @throws Error if the process ends. */
async function messageFrom(child: ChildProcess): Promise<unknown> {
  const waiting = new AbortController();
  const { signal } = waiting;
  try {
    const [message] = await Promise.race([
      once(child, 'message', { signal }),
      once(child, 'exit', { signal }).then(([status]): never => {
        throw new Error(`${RANDOM_LEADER} ended with ${status}`);
      }),
    ]);
    return message;
  } finally {
    waiting.abort();
  }
}
