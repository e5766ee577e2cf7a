import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, suite, test } from 'node:test';
import { request } from 'undici';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import { storeFiles } from '../../src/store/sqlite/sqlite-store.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startDockerRegistry, type DockerRegistry } from '../peers/docker-registry.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { writeBlob, writeLayout } from '../registry/layout/write-layout.ts';
import { get, reindex, settled, statusOf, TOKEN, type Answer } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { fillRegistry } from './varied-registry.ts';

const PATHS = [
  '/index/apps.json',
  `/index/static?${flatpakQuery('latest', 'amd64').canonical}`,
  '/index/dynamic?label:org.flatpak.ref:matches=app/*',
  '/layouts/index/static?tag=latest',
];
const ENCODINGS = ['identity', 'gzip'];
/** More than what fits into the buffers between a server and a client that does not read. */
const LARGE = 32 * 1024 * 1024;

suite('a server that is stopped and started', needs('docker-registry', 'skopeo'), () => {
  const resources = new AsyncDisposableStack();
  let registry: DockerRegistry;
  let config: object;
  let server: Regindexer;
  let large: string;
  let served: readonly Answer[];
  before(async () => {
    registry = resources.use(await startDockerRegistry());
    await fillRegistry(registry);
    const layouts = join(registry.folder, 'layouts');
    await writeLayout(join(layouts, 'large'), [
      { labels: { 'org.flatpak.ref': 'app/org.example.Large/x86_64/stable' } },
    ]);
    large = await writeBlob(join(layouts, 'large'), randomBytes(LARGE / 2).toString('hex'));
    config = {
      indexes: { apps: { registry: registry.url, extract_icons: true }, layouts: { registry: `oci:${layouts}` } },
      server: { port: 0, admin_token: TOKEN },
    };
    server = resources.use(await startRegindexer({ config }));
    await settled(server.url);
    served = await answersOf(server.url);
  });
  after(() => resources.disposeAsync());

  test('serves its last indexes at once while the registry is down', async (t) => {
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await registry.stop();
    const started = performance.now();
    await server.start();
    await get(`${server.url}/index/apps.json`);
    t.diagnostic(`first answer ${Math.round(performance.now() - started)} ms after the start of the process`);
    assert.deepEqual(await answersOf(server.url), served);

    await eventually(async () => {
      const { rebuilds } = await statusOf(server.url);
      assert.match(
        rebuilds.find(({ state }) => state === 'failed')?.error ?? '',
        new RegExp(`${registry.url}/v2/_catalog`),
      );
    });
    assert.deepEqual(await answersOf(server.url), served);
    await registry.start();
    await reindex(server.url);
    assert.deepEqual(await answersOf(server.url), served);
  });

  test('rebuilds what a disk fault has changed', async () => {
    await server.stop();
    {
      using database = new DatabaseSync(storeFiles(join(server.folder, 'state')).publications);
      database.exec("UPDATE chunk SET head = CAST(substr(head, 1, 100) || 'x' || substr(head, 102) AS BLOB)");
    }
    await server.start();
    await settled(server.url);
    assert.match(
      server.logSinceStart,
      /publications\.sqlite is damaged \(the checksum of the chunk [0-9a-f]{64} does not match\): .* it was set aside as /,
    );
    assert.deepEqual(await answersOf(server.url), served);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await server.start();
  });

  test('goes on when nobody reads what it prints', async () => {
    await using unread = await startRegindexer({
      config: { indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}` } }, server: { port: 0 } },
      under: ['bash', '-c', 'exec "$@" > >(:)', 'bash'],
    });
    await settled(unread.url);
    assert.deepEqual(await unread.stop(), { code: 0, signal: null });
  });

  test('answers as one that has never run before', async () => {
    await using fresh = await startRegindexer({ config });
    await settled(fresh.url);
    assert.deepEqual(await answersOf(fresh.url), served);
  });

  test('finishes a slow download before it ends', async () => {
    const { body } = await request(`${server.url}/v2/large/blobs/${large}`);
    const download = body.iterator({ destroyOnReturn: false });
    const hash = createHash('sha256').update((await download.next()).value as Buffer);

    const started = performance.now();
    const stopping = server.stop('SIGTERM');
    await eventually(() => assert.rejects(request(`${server.url}/healthz`), { code: 'ECONNREFUSED' }));
    for await (const chunk of download) hash.update(chunk as Buffer);
    assert.equal(`sha256:${hash.digest('hex')}`, large);
    assert.deepEqual(await stopping, { code: 0, signal: null });
    assert.ok(performance.now() - started < 10_000);
  });

  test('ends with status 0 on SIGINT', async () => {
    await server.start();
    await get(`${server.url}/readyz`);
    assert.deepEqual(await server.stop('SIGINT'), { code: 0, signal: null });
  });

  test('goes on after a crash', async () => {
    await server.start();
    await server.kill();
    await server.start();
    assert.deepEqual(await answersOf(server.url), served);
    await settled(server.url);
    assert.deepEqual(await answersOf(server.url), served);
    // What an index warns of stands in it, and is said after each start.
    assert.doesNotMatch(server.logSinceStart, /"level":"(error|warn"(?!.*"index":))/);
  });
});

/** To every question in every encoding. */
async function answersOf(url: string): Promise<readonly Answer[]> {
  return Promise.all(
    PATHS.flatMap((path) => ENCODINGS.map((encoding) => get(`${url}${path}`, { 'accept-encoding': encoding }))),
  );
}
