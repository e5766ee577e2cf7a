/** Moving the store from files to a database and back, and `regindexer index` with a database. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { ClientConfig } from 'pg';
import { request } from 'undici';
import { stringify } from 'yaml';
import { startDockerRegistry, type DockerRegistry } from '../peers/docker-registry.ts';
import { needs } from '../peers/installed.ts';
import { bareEnvironment } from '../peers/peer.ts';
import { type Postgresql, startPostgresql } from '../peers/postgresql.ts';
import { CLI, runRegindexer, startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { pushRandom, pushRandomVersion } from '../sources/push-random.ts';
import { randomRepository } from '../sources/random-images.ts';
import { run } from '../store/postgres/database.ts';
import { digestsIn, get, indexOf, reindex, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { startHoldingProxy, type HoldingProxy } from './holding-proxy.ts';
import { isReady } from './replicas.ts';

// Without the tag that Flatpak asks for, so that there is a warning about what was built.
const APPS = { repositories: 4, tags: ['v1'], architectures: ['amd64'] };

suite('a store that moves', needs('postgres', 'docker-registry'), () => {
  const resources = new AsyncDisposableStack();
  let registry: DockerRegistry;
  let held: HoldingProxy;
  let database: Postgresql;
  let server: Regindexer;
  let connection: ClientConfig;
  let version = 1;
  before(async () => {
    registry = resources.use(await startDockerRegistry());
    await pushRandom(registry.url, APPS);
    held = resources.use(await startHoldingProxy(registry.url));
    database = resources.use(await startPostgresql());
    connection = await database.createDatabase();
    server = resources.use(await startRegindexer({ config: config() }));
    await eventually(() => isReady(server));
  });
  after(() => resources.disposeAsync());

  const config = (store?: ClientConfig): object => ({
    indexes: { apps: { registry: held.url, extract_icons: true } },
    ...(store && { store: `postgres://${store.user}@127.0.0.1:${store.port}/${store.database}` }),
    server: { port: 0, admin_token: TOKEN },
    rescan_interval: 0,
  });
  const file = (): string => join(server.folder, 'config.yaml');
  const push = (): Promise<string> => pushRandomVersion(registry.url, 0, version++, 'v1', APPS);
  const shown = async (): Promise<readonly string[]> => digestsIn(await indexOf(server.url), randomRepository(0));
  /** Starts again with this store; the registry does not answer before `held.release()`. */
  const restart = async (store?: ClientConfig): Promise<void> => {
    await server.stop();
    await writeFile(file(), stringify(config(store)));
    void held.holdAfter(0);
    await server.start();
  };

  test('each finds its own state, and a new database is filled first', async () => {
    const served = await get(`${server.url}/index/apps.json`);
    assert.match((await runRegindexer(['-c', file(), 'check'])).stdout, /Warning: index apps as it was built last: /);
    await restart(connection);
    for (const path of ['/index/apps.json', '/readyz']) {
      const { statusCode, headers, body } = await request(`${server.url}${path}`);
      await body.dump();
      assert.deepEqual([statusCode, headers['retry-after']], [503, '1']);
    }
    await get(`${server.url}/healthz`);
    // What it says of files would be of what is not served.
    assert.doesNotMatch((await runRegindexer(['-c', file(), 'check'])).stdout, /as it was built last/);
    held.release();
    await eventually(() => isReady(server));
    assert.deepEqual(await get(`${server.url}/index/apps.json`), served);

    const digest = await push();
    await reindex(server.url);
    assert.deepEqual(await shown(), [digest]);
    await restart();
    assert.deepEqual(await get(`${server.url}/index/apps.json`), served);
    held.release();
    await eventually(async () => assert.deepEqual(await shown(), [digest]));

    const next = await push();
    await reindex(server.url);
    assert.deepEqual(await shown(), [next]);
    await restart(connection);
    assert.deepEqual(await shown(), [digest]);
    held.release();
    await eventually(async () => assert.deepEqual(await shown(), [next]));
  });

  test('`regindexer index` rebuilds it while no replica leads', async () => {
    const refused = await runRegindexer(['-c', file(), 'index']);
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /^regindexer: the database test_1 at 127\.0\.0\.1:\d+ is in use by the replica \S+: stop all replicas, or name another database in store; a running service rebuilds on POST \/reindex\n$/,
    );

    await server.stop();
    const digest = await push();
    const first = await runRegindexer(['-c', file(), 'index']);
    assert.deepEqual([first.code, /^apps: 4 images, .+, changed, /.test(first.stdout)], [0, true], first.stderr);
    const again = await runRegindexer(['-c', file(), 'index']);
    assert.deepEqual([again.code, /^apps: 4 images, .+, unchanged, /.test(again.stdout)], [0, true], again.stderr);
    void held.holdAfter(0);
    await server.start();
    await eventually(() => isReady(server));
    assert.deepEqual(await shown(), [digest]);
    held.release();
    // The lease was free.
    await reindex(server.url);
  });

  test('`regindexer index` fills a new database before the move, and frees it when it is interrupted', async () => {
    await server.stop();
    const empty = await database.createDatabase();
    await writeFile(file(), stringify(config(empty)));
    const isHeld = held.holdAfter(2);
    const interrupted = spawn(process.execPath, [CLI, '-c', file(), 'index'], {
      env: bareEnvironment(server.folder),
      stdio: 'ignore',
    });
    const ended = once(interrupted, 'exit');
    await isHeld;
    interrupted.kill('SIGINT');
    assert.deepEqual(await ended, [null, 'SIGINT']);
    const [lease] = await run<{ free: boolean }>(empty, 'SELECT expires < clock_timestamp() AS free FROM lease');
    assert.equal(lease?.free, true);
    held.release();

    const { code, stderr } = await runRegindexer(['-c', file(), 'index']);
    assert.equal(code, 0, stderr);
    void held.holdAfter(0);
    await server.start();
    await eventually(() => isReady(server));
    assert.equal((await shown()).length, 1);
    held.release();
  });

  test('`regindexer index` says what a database lacks', async () => {
    await writeFile(file(), stringify(config({ ...connection, database: 'missing' })));
    const { code, stderr } = await runRegindexer(['-c', file(), 'index']);
    assert.equal(code, 1);
    assert.match(stderr, /^regindexer: the database missing at .+ does not exist .+: make it with CREATE DATABASE /);
  });
});
