/** Replicas whose configurations differ for a while: a rolling change, forwards and back, and a reload. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { request } from 'undici';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { needs } from '../peers/installed.ts';
import { run } from '../store/postgres/database.ts';
import { AUTHORIZED, get, indexOf, reindex, requestRebuild } from './ask-server.ts';
import { eventually } from './eventually.ts';
import {
  isReady,
  leaderOf,
  nameOf,
  sharingOf,
  startReplicas,
  type ReplicaConfig,
  type TestReplica,
  type TestReplicas,
} from './replicas.ts';

const APPS = { apps: { registry: `oci:${SAMPLE_IMAGES}` } };
const OLD: ReplicaConfig = { indexes: APPS };
const NEW: ReplicaConfig = { indexes: { ...APPS, more: { registry: `oci:${SAMPLE_IMAGES}`, tags: ['latest'] } } };

suite('replicas with different configurations', needs('postgres', 'nginx'), () => {
  const resources = new AsyncDisposableStack();
  let replicas: TestReplicas;
  before(async () => {
    replicas = resources.use(await startReplicas({ count: 3, config: () => OLD }));
  });
  after(() => resources.disposeAsync());

  /** Restarts one replica after another with `config`; `each` sees those that have it, and those that do not. */
  const roll = async (
    config: ReplicaConfig,
    each: (changed: readonly TestReplica[], others: readonly TestReplica[]) => Promise<void>,
  ): Promise<void> => {
    const end = new AbortController();
    const reading = keepReading(replicas.url, end.signal);
    try {
      for (const [number, replica] of replicas.all.entries()) {
        await replica.service.stop();
        await replica.configure(config);
        await replica.service.start();
        await eventually(() => isReady(replica));
        const changed = replicas.all.slice(0, number + 1);
        // One of them, as soon as the others know of them.
        await leaderOf(changed);
        await each(changed, replicas.all.slice(number + 1));
      }
    } finally {
      end.abort();
      assert.deepEqual(await reading, []);
    }
  };

  test('a rolling change brings a new index, and no client notices', async () => {
    await roll(NEW, async (changed, others) => {
      for (const { url } of changed) {
        assert.ok((await indexOf(url, 'more')).Results.length > 0);
        assert.equal((await reindexOf(url, 'more')).statusCode, 200);
      }
      for (const { url } of others) {
        assert.equal((await requestRebuild(url, { index: 'more' })).statusCode, 404);
        await reindex(url);
      }
      await eventually(() => tell(replicas.all, others.length === 0 ? 1 : 2));
      if (others.length === 0) return;
      for (const { service } of replicas.all)
        assert.match(
          service.logSinceStart,
          /the replicas have different versions or configurations, of which the newest leads: /,
        );
    });
    // The last one has never seen another.
    for (const { service } of replicas.all.slice(0, -1))
      await eventually(() =>
        assert.match(service.logSinceStart, /all replicas have the same version and configuration/),
      );
  });

  test('one that leads without an index says so to those who ask another replica for it', async () => {
    const asked = replicas.all[2] ?? assert.fail();
    await roll(OLD, async (_, others) => {
      // What they had they serve.
      for (const { url } of others) {
        await get(`${url}/index/more.json`);
        await reindex(url);
      }
      await eventually(() => tell(replicas.all, others.length === 0 ? 1 : 2));
      if (!others.includes(asked)) return;
      const { statusCode, message } = await reindexOf(asked.url, 'more');
      assert.equal(statusCode, 502);
      assert.match(message, /the replica that leads has another configuration: no index "more" is configured/);
      // The leader has cleaned, and one that restarts without its cache needs what it does not publish any more.
      assert.equal((await run(replicas.connection, `SELECT FROM publication WHERE "index" = 'more'`)).length, 1);
      if (others.length > 1) return;
      await asked.service.stop();
      await rm(join(asked.service.folder, 'state', 'cache'), { recursive: true });
      await asked.service.start();
      await eventually(() => isReady(asked));
      await get(`${asked.url}/index/more.json`);
    });
    for (const { url } of replicas.all) {
      const { statusCode, body } = await request(`${url}/index/more.json`);
      await body.dump();
      assert.equal(statusCode, 404);
    }
  });

  test('a reload makes a replica lead with what it read', async () => {
    const earlier = await leaderOf(replicas.all);
    const reloaded = replicas.all.find((replica) => replica !== earlier) ?? assert.fail();
    await reload(reloaded, NEW);
    assert.equal(await leaderOf([reloaded]), reloaded);
    await eventually(async () => assert.ok((await indexOf(reloaded.url, 'more')).Results.length > 0));
    await eventually(() => tell(replicas.all, 2));
    for (const replica of replicas.all) {
      await isReady(replica);
      await reindex(replica.url);
    }
    for (const replica of replicas.all) if (replica !== reloaded) await reload(replica, NEW);
    for (const replica of replicas.all) await eventually(() => isReady(replica));
    for (const { url } of replicas.all) {
      assert.equal((await reindexOf(url, 'more')).statusCode, 200);
      assert.deepEqual(await get(`${url}/index/more.json`), await get(`${reloaded.url}/index/more.json`));
    }

    // The leader itself goes on leading.
    const leader = await leaderOf(replicas.all);
    await reload(leader, OLD);
    await reindex(leader.url);
    assert.equal(await leaderOf(replicas.all), leader);
    assert.doesNotMatch(replicas.all.map(({ service }) => service.logSinceStart).join(''), /leading could not begin/);
  });
});

/** Reloads the configuration of a replica. */
async function reload(replica: TestReplica, config: ReplicaConfig): Promise<void> {
  const reloads = (): number => replica.service.log.split('the configuration was reloaded').length;
  const earlier = reloads();
  await replica.configure(config);
  process.kill(replica.service.pid, 'SIGHUP');
  await eventually(() => assert.ok(reloads() > earlier));
}

/** @throws AssertionError unless each replica tells of all, that they live, and of so many configurations */
async function tell(all: readonly TestReplica[], configurations: number): Promise<void> {
  const leader = await leaderOf(all);
  for (const replica of all) {
    const { replicas } = await sharingOf(replica);
    assert.deepEqual(replicas.map(({ name }) => name).toSorted(), all.map(nameOf).toSorted());
    assert.equal(new Set(replicas.map(({ configuration }) => configuration)).size, configurations);
    assert.deepEqual(
      replicas.filter(({ leads }) => leads).map(({ name }) => name),
      [nameOf(leader)],
    );
  }
}

/** Waits for a rebuild of one index. */
async function reindexOf(
  url: string,
  index: string,
): Promise<{ readonly statusCode: number; readonly message: string }> {
  const { statusCode, body } = await request(`${url}/reindex?wait=true`, {
    method: 'POST',
    headers: { ...AUTHORIZED, 'content-type': 'application/json' },
    body: JSON.stringify({ index }),
  });
  const { message = '' } = (await body.json()) as { readonly message?: string };
  return { statusCode, message };
}

/** Reads an index again and again; returns what failed. */
async function keepReading(url: string, end: AbortSignal): Promise<readonly string[]> {
  const failures: string[] = [];
  while (!end.aborted) {
    await get(`${url}/index/apps.json`).catch((error: unknown) => failures.push(String(error)));
    await pause(20);
  }
  return failures;
}
