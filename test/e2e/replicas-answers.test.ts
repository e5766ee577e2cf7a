/** What each of several replicas answers: the same as the others, whichever of them leads. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { request } from 'undici';
import { version as programVersion } from '../../src/system/version.ts';
import { startDockerRegistry, type DockerRegistry } from '../peers/docker-registry.ts';
import { needs } from '../peers/installed.ts';
import { pushRandom, pushRandomVersion } from '../sources/push-random.ts';
import { randomRepository } from '../sources/random-images.ts';
import { run } from '../store/postgres/database.ts';
import {
  digestsIn,
  get,
  indexOf,
  notify,
  rebuildOf,
  type RebuildJson,
  reindex,
  requestRebuild,
  statusOf,
} from './ask-server.ts';
import { eventually } from './eventually.ts';
import { startHoldingProxy, type HoldingProxy } from './holding-proxy.ts';
import {
  isReady,
  leaderOf,
  nameOf,
  type ReplicaConfig,
  sharingOf,
  startReplica,
  startReplicas,
  type TestReplica,
  type TestReplicas,
} from './replicas.ts';

const APPS = { repositories: 6, tags: ['latest'], architectures: ['amd64'] };

suite('replicas that share a database', needs('postgres', 'docker-registry', 'nginx'), () => {
  const resources = new AsyncDisposableStack();
  let registry: DockerRegistry;
  let held: HoldingProxy;
  let replicas: TestReplicas;
  let version = APPS.tags.length;
  before(async () => {
    registry = resources.use(await startDockerRegistry());
    await pushRandom(registry.url, APPS);
    held = resources.use(await startHoldingProxy(registry.url));
    replicas = resources.use(
      await startReplicas({
        count: 3,
        config: () => ({ indexes: { apps: { registry: held.url, extract_icons: true } }, rescan_interval: 0 }),
      }),
    );
    await reindex(replicas.all[0]?.url ?? '');
  });
  after(() => resources.disposeAsync());

  const push = (number: number): Promise<string> => pushRandomVersion(registry.url, number, version++, 'latest', APPS);
  const followers = async (): Promise<readonly [leader: TestReplica, TestReplica, TestReplica]> => {
    const leader = await replicas.leader();
    const [first, second] = replicas.all.filter((replica) => replica !== leader);
    return [leader, first ?? assert.fail(), second ?? assert.fail()];
  };
  test('all of them serve the result of /reindex when any of them says that it is done', async () => {
    for (const [number, asked] of replicas.all.entries()) {
      const digest = await push(number);
      await reindex(asked.url);
      // At once: each had loaded it before the answer came.
      const answers = await Promise.all(
        replicas.all.map(async ({ url }) => ({
          digests: await shows(url, number),
          ...(await get(`${url}/index/apps.json`)),
        })),
      );
      for (const answer of answers) {
        assert.deepEqual(answer.digests, [digest]);
        assert.deepEqual(answer, answers[0]);
      }
    }
  });

  test('a rebuild that one was asked for can be followed on the others', async () => {
    const [leader, first, second] = await followers();
    for (const asked of [leader, first]) {
      const digest = await push(4);
      const { statusCode, id } = await requestRebuild(asked.url);
      assert.equal(statusCode, 202);
      for (const { url } of [second, first, leader])
        await eventually(async () => {
          const { state, reasons } = await rebuildOf(url, id);
          assert.deepEqual([state, reasons], ['done', ['POST /reindex from 127.0.0.1']]);
        });
      await eventually(async () => assert.deepEqual(await shows(second.url, 4), [digest]));
    }
  });

  test('a follower shows the progress of a rebuild while it runs', async () => {
    const [, follower, other] = await followers();
    await push(5);
    const end = new AbortController();
    const { body } = await request(`${follower.url}/api/events`, { signal: end.signal });
    const isHeld = held.holdAfter(3);
    const { id } = await requestRebuild(other.url);
    await isHeld;
    const running = await eventFrom(
      body,
      ({ state, progress }) => state === 'running' && (progress?.requests ?? 0) > 0,
    );
    assert.equal((await rebuildOf(follower.url, id)).state, 'running');
    held.release();
    const { state } = await eventFrom(body, (event) => event.id === running.id && event.finishedAt !== undefined);
    assert.equal(state, 'done');
    end.abort();
  });

  test('each tells who leads, since when, and of all replicas', async () => {
    const leader = await replicas.leader();
    // Each learns of the others within seconds.
    await eventually(async () => {
      const sharing = await Promise.all(replicas.all.map(sharingOf));
      for (const [number, { database, ledSince = '', lag, notReady, replicas: all }] of sharing.entries()) {
        assert.deepEqual([database.available, lag, notReady], [true, 0, undefined]);
        assert.ok(Date.parse(ledSince) <= Date.now());
        assert.equal(ledSince, sharing[0]?.ledSince);
        assert.deepEqual(all.map(({ name }) => name).toSorted(), replicas.all.map(nameOf).toSorted());
        assert.deepEqual(
          all.filter(({ leads }) => leads).map(({ name }) => name),
          [nameOf(leader)],
        );
        assert.deepEqual(
          all.filter(({ self }) => self).map(({ name }) => name),
          replicas.all.slice(number, number + 1).map(nameOf),
        );
        for (const { version: its, configuration, seenAt } of all) {
          assert.deepEqual([its, configuration], [programVersion, all[0]?.configuration]);
          assert.ok(Date.parse(seenAt) > Date.now() - 6_000);
        }
      }
    });
    // Only the leader asks the registry.
    for (const replica of replicas.all) {
      const metrics = (await get(`${replica.url}/metrics`)).body.toString();
      const leads = replica === leader;
      assert.match(metrics, new RegExp(`^regindexer_leader ${Number(leads)}$`, 'm'));
      assert.equal(/^regindexer_registry_requests_total\{/m.test(metrics), leads);
    }
    await eventually(async () => {
      const rebuilds = await Promise.all(replicas.all.map(async ({ url }) => (await statusOf(url)).rebuilds));
      assert.ok((rebuilds[0]?.length ?? 0) > 0);
      for (const its of rebuilds) assert.deepEqual(its, rebuilds[0]);
    });
  });

  test('a follower takes notifications, and loses none when the leader is killed at that moment', async () => {
    const [leader, follower, other] = await followers();
    const digest = await push(2);
    assert.equal(await notify(follower.url, randomRepository(2)), 202);
    for (const { url } of replicas.all)
      await eventually(async () => assert.deepEqual(await shows(url, 2), [digest]), 5_000);

    // The leader never reads it: the registry holds its questions.
    const isHeld = held.holdAfter(0);
    const next = await push(3);
    assert.equal(await notify(follower.url, randomRepository(3)), 202);
    await isHeld;
    await leader.service.kill();
    held.release();
    for (const { url } of [follower, other])
      await eventually(async () => assert.deepEqual(await shows(url, 3), [next]), 20_000);
    await leader.service.start();
    await eventually(() => isReady(leader));
    assert.deepEqual(await shows(leader.url, 3), [next]);
  });

  test('the next leader does what a client waits for at the one that stops', async () => {
    const [leader] = await followers();
    const digest = await push(2);
    const isHeld = held.holdAfter(0);
    const answered = reindex(leader.url);
    await isHeld;
    const stopped = leader.service.stop();
    await replicas.leader(leader);
    held.release();
    await answered;
    for (const replica of replicas.all.filter((each) => each !== leader))
      assert.deepEqual(await shows(replica.url, 2), [digest]);
    await stopped;
    await leader.service.start();
    await eventually(() => isReady(leader));
  });

  test('after a reload one queue rebuilds, though the lease was lost and taken again meanwhile', async () => {
    const connection = await replicas.database.createDatabase();
    const config = (name: string): ReplicaConfig => ({
      indexes: { [name]: { registry: held.url } },
      rescan_interval: 0,
    });
    await using replica = await startReplica(connection, config('before'));
    await eventually(() => isReady(replica));
    await leaderOf([replica]);
    // The reload waits for this rebuild.
    const isHeld = held.holdAfter(0);
    await requestRebuild(replica.url);
    await isHeld;
    await replica.configure(config('after'));
    process.kill(replica.service.pid, 'SIGHUP');
    await eventually(() => assert.match(replica.service.log, /the configuration was reloaded/));
    await run(
      connection,
      `UPDATE lease SET holder = 'other', term = term + 1, expires = clock_timestamp() + interval '1 second'`,
    );
    await eventually(async () =>
      assert.deepEqual(await run(connection, `SELECT FROM lease WHERE holder = 'other'`), [], 'it leads again'),
    );
    held.release();
    await eventually(() => isReady(replica), 20_000);
    // At the start, and after the reload.
    await eventually(async () =>
      assert.deepEqual(
        await run(
          connection,
          `SELECT count(*)::integer, bool_or(live) AS live FROM rebuild WHERE rebuild::text LIKE '%this replica leads now%'`,
        ),
        [{ count: 2, live: false }],
      ),
    );
  });

  test('what a follower finds to be lost in the database is read again', async () => {
    const [, follower] = await followers();
    const whole = (await get(`${follower.url}/index/apps.json`)).body.toString();
    const [, icon = assert.fail()] = /"(\/[^"]+\.png)"/.exec(whole) ?? [];
    await run(replicas.connection, 'DELETE FROM png');
    await eventually(() => get(`${follower.url}${icon}`), 20_000);
  });

  test('a follower knows which repositories there are', async () => {
    const [leader, follower] = await followers();
    for (const [name, { url }] of Object.entries({ leader, follower })) {
      const unknown = await requestRebuild(url, { repository: 'apps/missing' });
      assert.equal(unknown.statusCode, 404);
      assert.match(unknown.message, /There is no repository "apps\/missing"/);
      assert.equal((await requestRebuild(url, { repository: randomRepository(0) })).statusCode, 202);
      assert.equal((await requestRebuild(url, { index: 'missing' })).statusCode, 404);
      // One that the registry has lost, and that an index may show still.
      await run(
        replicas.connection,
        `WITH lost AS (INSERT INTO repository (registry, name) VALUES ($1, $2) RETURNING id)
         INSERT INTO tag (repository, tag, digest) SELECT id, 'latest', 'sha256:' || repeat('0', 64) FROM lost`,
        [held.url, `apps/lost-${name}`],
      );
      assert.equal((await requestRebuild(url, { repository: `apps/lost-${name}` })).statusCode, 202);
    }
  });

  test('a client that goes from one to the next is never led back', async () => {
    const path = '/index/static?tag=latest&architecture=amd64&label:org.flatpak.ref:exists=1';
    for (let round = 0; round < 5; round++) {
      const digest = await push(0);
      assert.equal(await notify(replicas.all[round % 3]?.url ?? '', randomRepository(0)), 202);
      const shown = await eventually(async () => {
        for (const { url } of replicas.all) {
          const { etag, body } = await get(`${url}${path}`);
          if (body.includes(digest)) return { etag, url };
        }
        throw new assert.AssertionError({ message: 'no replica shows the push yet' });
      });
      // The others may not have loaded it yet.
      for (const { url } of replicas.all) {
        const { statusCode, headers, body } = await request(`${url}${path}`, {
          headers: { 'if-none-match': shown.etag },
        });
        await body.dump();
        assert.deepEqual([statusCode, headers.etag], [304, shown.etag], `${url} after ${shown.url}`);
      }
    }
  });
});

/** An event of `/api/events`. */
interface RebuildEvent extends RebuildJson {
  readonly progress?: { readonly requests: number };
}

/** Reads events until one of them fits. */
async function eventFrom(body: AsyncIterable<Buffer>, fits: (event: RebuildEvent) => boolean): Promise<RebuildEvent> {
  let text = '';
  const chunks = body[Symbol.asyncIterator]();
  for (;;) {
    const { value, done } = await chunks.next();
    assert.ok(done !== true, 'the stream has ended');
    text += value.toString();
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('data: ')) continue;
      const event = JSON.parse(line.slice('data: '.length)) as RebuildEvent;
      if (fits(event)) return event;
    }
  }
}

async function shows(url: string, number: number): Promise<readonly string[]> {
  return digestsIn(await indexOf(url), randomRepository(number));
}
