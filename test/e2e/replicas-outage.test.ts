/** What replicas do without their database, and once it is back. */
import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { ClientConfig } from 'pg';
import { request } from 'undici';
import { stringify } from 'yaml';
import { startDockerRegistry, type DockerRegistry } from '../peers/docker-registry.ts';
import { needs } from '../peers/installed.ts';
import { type Postgresql, startPostgresql } from '../peers/postgresql.ts';
import { runRegindexer } from '../peers/regindexer.ts';
import { run } from '../store/postgres/database.ts';
import { pushRandom, pushRandomVersion } from '../sources/push-random.ts';
import { randomRepository } from '../sources/random-images.ts';
import { AUTHORIZED, digestsIn, get, indexOf, notify, reindex, requestRebuild } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { isReady, sharingOf, startReplica, startReplicas, type TestReplica, type TestReplicas } from './replicas.ts';

const APPS = { repositories: 4, tags: ['latest'], architectures: ['amd64', 'arm64'] };
const PATHS = [
  '/index/apps.json',
  '/index/static?tag=latest&architecture=amd64&label:org.flatpak.ref:exists=1',
  // Never asked before.
  '/index/dynamic?label:org.flatpak.ref:matches=app/*&architecture=arm64',
  '/api/apps',
];

suite('replicas without their database', needs('postgres', 'docker-registry', 'nginx'), () => {
  const resources = new AsyncDisposableStack();
  let registry: DockerRegistry;
  let config: { readonly indexes: object };
  let replicas: TestReplicas;
  let version = APPS.tags.length;
  before(async () => {
    registry = resources.use(await startDockerRegistry());
    await pushRandom(registry.url, APPS);
    config = {
      indexes: {
        apps: { registry: registry.url, extract_icons: true },
        other: { registry: registry.url, architectures: ['arm64'] },
      },
    };
    replicas = resources.use(await startReplicas({ count: 2, config: () => config }));
    await reindex(replicas.all[0]?.url ?? '');
    for (const { url } of replicas.all) await eventually(() => get(`${url}/api/apps`));
  });
  after(() => resources.disposeAsync());

  const push = (number: number): Promise<string> => pushRandomVersion(registry.url, number, version++, 'latest', APPS);
  test('serve all that they have, tell once why, and go on when it is back', async (t) => {
    const icons = await iconsIn(replicas.url);
    const [known = '', unknown = ''] = icons;
    for (const { url } of replicas.all) await get(`${url}${known}`);
    const served = await answersOf(replicas.url);

    await replicas.database.stop();
    for (const replica of replicas.all) {
      const { url, service, proxy } = replica;
      await eventually(() => isAvailable(replica, false));
      assert.deepEqual(await answersOf(url), served);
      await get(`${url}${known}`);
      const unavailable = await answerOf(`${url}${unknown}`);
      assert.equal(unavailable.statusCode, 503);
      assert.equal(unavailable.retryAfter, '1');
      assert.match(unavailable.message, /^The database of this server cannot be reached now; ask again in a moment\.$/);

      for (const answer of [
        await requestRebuild(url),
        await requestRebuild(url, { index: 'other' }),
        await answerOf(`${url}/reindex/1`, AUTHORIZED),
      ]) {
        assert.equal(answer.statusCode, 503);
        assert.match(answer.message, /^The database of this server cannot be reached now/);
      }
      assert.equal(await notify(url, randomRepository(0)), 503);
      assert.deepEqual(
        await metricsOf(url, 'regindexer_store_available', 'regindexer_database_unavailable_answers_total'),
        [0, 5],
      );
      await isReady(replica);
      assert.equal((await sharingOf(replica)).notReady, undefined);

      // It has tried again and again since.
      const tried = proxy.connections;
      await eventually(() => assert.ok(proxy.connections > tried + 4));
      assert.equal(linesIn(service.log, /without the database, this replica serves what it has/), 1);
      assert.doesNotMatch(service.log, /a request failed/);
    }

    const digest = await push(0);
    await replicas.database.start();
    const started = performance.now();
    await Promise.all(
      replicas.all.map(async (replica) => {
        await eventually(() => isAvailable(replica, true));
        await get(`${replica.url}${unknown}`);
        t.diagnostic(`back ${Math.round(performance.now() - started)} ms after the database`);
      }),
    );
    await reindex(replicas.all[0]?.url ?? '');
    for (const { url, service } of replicas.all) {
      assert.deepEqual(digestsIn(await indexOf(url), randomRepository(0)), [digest]);
      assert.equal(linesIn(service.log, /without the database/), 1);
      assert.equal(linesIn(service.log, /the database can be reached again/), 1);
    }
  });

  test('catch up with what the others have published meanwhile', async (t) => {
    const leader = await replicas.leader();
    const cutOff = replicas.all.find((replica) => replica !== leader) ?? assert.fail();
    cutOff.proxy.hang();
    await eventually(() => isAvailable(cutOff, false));
    const served = await answersOf(cutOff.url);
    // Prometheus waits for 10 s, which is as long as a question to a database that hangs may take.
    const metrics = await request(`${cutOff.url}/metrics`, { headersTimeout: 3_000, bodyTimeout: 3_000 });
    assert.match(await metrics.body.text(), /^regindexer_store_available 0$/m);
    const delta = await request(`${cutOff.url}/deltas/00/${'0'.repeat(62)}.json`, { headersTimeout: 3_000 });
    assert.equal(delta.statusCode, 503);
    await delta.body.dump();
    const digest = await push(1);
    await reindex(leader.url);
    assert.deepEqual(await answersOf(cutOff.url), served);
    cutOff.proxy.resume();
    const started = performance.now();
    await eventually(async () => assert.deepEqual(digestsIn(await indexOf(cutOff.url), randomRepository(1)), [digest]));
    t.diagnostic(`caught up ${Math.round(performance.now() - started)} ms after the connection`);
    // The list of apps is published after the index.
    await eventually(async () => assert.deepEqual(await answersOf(cutOff.url), await answersOf(leader.url)));
  });

  test('stop while it hangs', async (t) => {
    const leader = await replicas.leader();
    leader.proxy.hang();
    const started = performance.now();
    assert.deepEqual(await leader.service.stop(), { code: 0, signal: null });
    t.diagnostic(`stopped after ${Math.round(performance.now() - started)} ms`);
    leader.proxy.resume();
    await leader.service.start();
    await eventually(() => isReady(leader));
  });

  test('start from their caches, say why they are not ready, and become ready by themselves', async () => {
    const served = await answersOf(replicas.url);
    const [restarted = assert.fail(), hanging = assert.fail()] = replicas.all;
    await Promise.all([restarted.service.stop(), hanging.service.stop()]);
    await replicas.database.stop();
    hanging.proxy.hang();
    await Promise.all([restarted.service.start(), hanging.service.start()]);
    await using fresh = await startReplica(replicas.connection, config);

    for (const replica of [restarted, hanging, fresh]) {
      await get(`${replica.url}/healthz`);
      await eventually(async () => {
        const { statusCode, message } = await answerOf(`${replica.url}/readyz`);
        assert.equal(statusCode, 503);
        assert.match(
          message,
          /Only what was cached before the start is served, since the database cannot be used; the log of this server says why\.$/,
        );
      });
      assert.match((await sharingOf(replica)).notReady ?? '', /the database cannot be used/);
      // Where it is stands in the log alone.
      const { body } = await get(`${replica.url}/status`);
      assert.doesNotMatch(body.toString(), /test_1/);
      assert.match(
        replica.service.logSinceStart,
        /the database test_1 at 127\.0\.0\.1:\d+ (?:does not answer|cannot be reached) \(/,
      );
    }
    for (const { url } of [restarted, hanging]) assert.deepEqual(await answersOf(url), served);
    const missing = await answerOf(`${fresh.url}/index/static`);
    assert.equal(missing.statusCode, 503);
    assert.equal(missing.retryAfter, '1');
    assert.match((await answerOf(`${fresh.url}/readyz`)).message, /^Not built yet: apps, other\. /);

    await replicas.database.start();
    hanging.proxy.resume();
    for (const replica of [restarted, hanging, fresh]) {
      await eventually(() => isReady(replica));
      assert.deepEqual(await answersOf(replica.url), served);
      assert.equal(linesIn(replica.service.logSinceStart, /without the database/), 1);
    }
  });
});

suite('a database that refuses', needs('postgres'), () => {
  const resources = new AsyncDisposableStack();
  let server: Postgresql;
  let connection: ClientConfig;
  const config = { indexes: { apps: { registry: 'oci:.' } } };
  before(async () => {
    server = resources.use(
      await startPostgresql({}, { rules: ['host all locked all scram-sha-256', 'host all all all trust'] }),
    );
    connection = await server.createDatabase();
    await run(
      connection,
      `CREATE ROLE locked LOGIN PASSWORD 'right'; CREATE ROLE plain LOGIN; GRANT CREATE ON SCHEMA public TO locked`,
    );
  });
  after(() => resources.disposeAsync());

  const serve = async (store: string): Promise<{ code: number; stderr: string }> => {
    const folder = await mkdtemp(join(server.folder, 'serve-'));
    const file = join(folder, 'config.yaml');
    await writeFile(file, stringify({ ...config, state_dir: 'state', store, server: { port: 0 } }));
    return runRegindexer(['-c', file, 'serve']);
  };
  const url = (login: string, database = connection.database): string =>
    `postgres://${login}@127.0.0.1:${connection.port}/${database}`;

  test('ends the start with what to do', async () => {
    const refusals = [
      [
        url('locked:wrong'),
        /^regindexer: the database test_1 at 127\.0\.0\.1:\d+ refuses the login \(password .+\): check the user/,
      ],
      [
        url('plain', 'missing'),
        /^regindexer: the database missing at .+ does not exist .+: make it with CREATE DATABASE/,
      ],
      [
        url('plain'),
        /^regindexer: the database test_1 at .+ does not let the role plain make tables: run GRANT CREATE, USAGE/,
      ],
    ] as const;
    await Promise.all(
      refusals.map(async ([store, message]) => {
        const { code, stderr } = await serve(store);
        assert.match(stderr, message);
        assert.equal(stderr.trim().split('\n').length, 1, stderr);
        assert.equal(code, 1);
        assert.doesNotMatch(stderr, /wrong/);
      }),
    );
  });

  test('does not end what runs already, which says why it has nothing new', async () => {
    await using replica = await startReplica({ ...connection, user: 'locked:right' }, config);
    await eventually(() => isReady(replica));
    const served = await get(`${replica.url}/index/apps.json`);
    await run(
      connection,
      `ALTER ROLE locked PASSWORD 'other'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'locked'`,
    );
    await eventually(() => assert.match(replica.service.log, /serves what it has.+ refuses the login \(password/));
    assert.deepEqual(await get(`${replica.url}/index/apps.json`), served);
    await isReady(replica);
    await run(connection, `ALTER ROLE locked PASSWORD 'right'`);
    await eventually(() => assert.match(replica.service.log, /the database can be reached again/));
  });
});

/** Paths of the icons that an index names. */
async function iconsIn(url: string): Promise<readonly string[]> {
  const { Results } = await indexOf(url);
  return [
    ...new Set(
      Results.flatMap(({ Lists }) => Lists)
        .flatMap(({ Images }) => Images)
        .map(({ Labels }) => Labels['org.freedesktop.appstream.icon-64'] ?? assert.fail()),
    ),
  ];
}

function answersOf(url: string): Promise<readonly object[]> {
  return Promise.all(PATHS.map((path) => get(`${url}${path}`)));
}

async function answerOf(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly statusCode: number; readonly retryAfter: string | undefined; readonly message: string }> {
  const { statusCode, headers: received, body } = await request(url, { headers });
  const { message } = (await body.json()) as { readonly message: string };
  return { statusCode, retryAfter: received['retry-after']?.toString(), message };
}

function linesIn(log: string, pattern: RegExp): number {
  return log.split('\n').filter((line) => pattern.test(line)).length;
}

/** @throws AssertionError unless the replica sees the database as it should */
async function isAvailable(replica: TestReplica, expected: boolean): Promise<void> {
  assert.equal((await sharingOf(replica)).database.available, expected);
}

async function metricsOf(url: string, ...names: readonly string[]): Promise<readonly number[]> {
  const text = (await get(`${url}/metrics`)).body.toString();
  return names.map((name) => Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1]));
}
