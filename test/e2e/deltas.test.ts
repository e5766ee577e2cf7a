/** Deltas that the server makes, for a real Flatpak. */
import assert from 'node:assert/strict';
import { cp, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { suite, test, type TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { request } from 'undici';
import { stringify } from 'yaml';
import { digestOf } from '../../src/registry/digest.ts';
import type { AppAnswer } from '../../src/server/routes/api.ts';
import { storeFiles } from '../../src/store/sqlite/sqlite-store.ts';
import { makeSample, pushSamples, SAMPLE_IMAGES } from '../fixtures/samples.ts';
import type { IndexJson } from '../indexing/test-state.ts';
import { startDockerRegistry, type DockerRegistry } from '../peers/docker-registry.ts';
import { startFlatpakClient, type FlatpakClient } from '../peers/flatpak.ts';
import { freePort } from '../peers/free-port.ts';
import { needs } from '../peers/installed.ts';
import { runRegindexer, startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { cannotMount, SmallDisk } from '../peers/small-disk.ts';
import { get, indexOf, reindex, settled, statusOf, type StatusJson, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';
import {
  FILES_AFTER,
  FILES_BEFORE,
  type ImageWriter,
  LayoutWriter,
  pushImage,
  type PushedImage,
  REPOSITORY,
  requireFilesAfter,
} from './pushed-app.ts';
import { RegistryWriter } from './registry-writer.ts';
import { startReplicas } from './replicas.ts';
import { installHello, runHello, update } from './sample-user.ts';

const PEERS = needs('docker-registry', 'skopeo', 'flatpak', 'dbus-daemon', 'gcc', 'rsvg-convert');
const DELTA_URL = 'io.github.containers.DeltaUrl';

interface DeltaManifest {
  readonly layers: readonly { readonly digest: string; readonly size: number; readonly urls?: readonly string[] }[];
}

/** Waits until all deltas are made, or have failed. */
async function deltasEnded(url: string): Promise<NonNullable<StatusJson['deltas']>> {
  return eventually(async () => {
    const { deltas } = await statusOf(url);
    assert.ok(deltas !== undefined && deltas.pending === 0 && deltas.making === undefined, JSON.stringify(deltas));
    return deltas;
  });
}

/** The label of the app that leads to its deltas. */
async function deltaLabel(url: string): Promise<string | undefined> {
  const { Results } = await indexOf(url);
  return Results.find(({ Name }) => Name === REPOSITORY)?.Images[0]?.Labels[DELTA_URL];
}

/** Requires that all that the index names is there and whole; returns how many deltas it names. */
async function requireWhole(url: string): Promise<number> {
  const label = await deltaLabel(url);
  if (label === undefined) return 0;
  const { layers } = JSON.parse((await get(new URL(label, url).href)).body.toString()) as DeltaManifest;
  for (const { digest, size, urls: [its] = [] } of layers) {
    const { body } = await get(its ?? `${url}/v2/${REPOSITORY}/blobs/${digest}`);
    assert.deepEqual([body.length, digestOf(body)], [size, digest]);
  }
  return layers.length;
}

/** The paths that Flatpak asked a server for since `start` of its log. */
function pathsAsked({ log }: Regindexer, start: number): readonly string[] {
  return Array.from(log.slice(start).matchAll(/"method":"GET","url":"([^"]+)"/g), ([, path = '']) => path);
}

/** A user who has version 1 of an app, and a server whose index has version 2. */
interface Setting extends AsyncDisposable {
  readonly user: FlatpakClient;
  readonly server: Regindexer;
  readonly before: PushedImage;
  readonly after: PushedImage;
}

async function setUp(
  writer: ImageWriter,
  index: object,
  server: { readonly port: number; readonly [key: string]: unknown },
  /** Runs before version 2 is read. */
  between?: (before: PushedImage) => Promise<void>,
): Promise<Setting> {
  await using resources = new AsyncDisposableStack();
  const user = resources.use(await startFlatpakClient());
  const before = await pushImage(writer, join(SAMPLE_IMAGES, REPOSITORY), FILES_BEFORE);
  const running = resources.use(
    await startRegindexer({
      config: {
        indexes: { apps: { ...index, deltas: { min_size: '1kB' } } },
        // Flatpak would keep the index for so long and not ask for another.
        server: { admin_token: TOKEN, max_age: 0, ...server },
      },
      args: ['-v'],
    }),
  );
  await settled(running.url);
  await user.flatpak('remote-add', '--user', 'apps', `oci+${running.url}`);
  await installHello(user);
  const after = await pushImage(writer, await makeSample(REPOSITORY, '2.0', join(user.folder, 'images')), FILES_AFTER);
  await between?.(before);
  await reindex(running.url);
  const kept = resources.move();
  return { user, server: running, before, after, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function behindProxy(registry: DockerRegistry, between?: (before: PushedImage) => Promise<void>): Promise<Setting> {
  return setUp(
    new RegistryWriter(registry.url),
    { registry: registry.url, registry_public: '/' },
    { port: 0, registry_proxy: true },
    between,
  );
}

suite('flatpak and the deltas of this server', PEERS, () => {
  test('it updates by the delta alone, from a registry behind the proxy', async () => {
    await using registry = await startDockerRegistry();
    await pushSamples(registry.host);
    await using setting = await behindProxy(registry);
    const { user, server, after } = setting;
    assert.partialDeepStrictEqual(await deltasEnded(server.url), { made: 1, failed: 0, unsuitable: 0 });
    const label = (await deltaLabel(server.url)) ?? '';
    const { layers } = JSON.parse((await get(server.url + label)).body.toString()) as DeltaManifest;
    const [delta] = layers;
    assert.equal(await requireWhole(server.url), 1);
    const { images } = JSON.parse((await get(`${server.url}/api/apps/org.example.Hello`)).body.toString()) as AppAnswer;
    assert.deepEqual(
      images[0]?.updates.map(({ size }) => size),
      [delta?.size],
    );
    const page = (await get(`${server.url}/apps/org.example.Hello`)).body.toString();
    assert.match(page, /<dt>Update[^<]*<\/dt>\s*<dd>\d[^<]*<\/dd>/);
    assert.ok((delta?.size ?? Infinity) < 20_000, JSON.stringify(delta));
    assert.equal(delta?.urls, undefined);

    const start = server.log.length;
    await update(user);
    await runHello(user, '2.0');
    await requireFilesAfter(user.installation);
    const asked = pathsAsked(server, start);
    assert.ok(asked.includes(label), asked.join('\n'));
    assert.ok(asked.includes(`/v2/${REPOSITORY}/blobs/${delta?.digest}`), asked.join('\n'));
    assert.ok(!asked.some((path) => path.includes(after.layer)), asked.join('\n'));
    assert.match((await get(`${server.url}/metrics`)).body.toString(), /^regindexer_deltas_total\{result="made"\} 1$/m);
  });

  test('it updates by the delta alone, from a folder of layouts, where base_url is known', async () => {
    await using folder = await startFlatpakClient();
    const images = join(folder.folder, 'layouts');
    await cp(SAMPLE_IMAGES, images, { recursive: true });
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    await using setting = await setUp(new LayoutWriter(images), { registry: `oci:${images}` }, { port, base_url: url });
    const { user, server, after } = setting;
    assert.partialDeepStrictEqual(await deltasEnded(url), { made: 1, failed: 0, unsuitable: 0 });
    const label = (await deltaLabel(url)) ?? '';
    assert.ok(label.startsWith(`${url}/deltas/`));
    assert.equal(await requireWhole(url), 1);
    const start = server.log.length;
    await update(user);
    await runHello(user, '2.0');
    await requireFilesAfter(user.installation);
    const asked = pathsAsked(server, start);
    assert.ok(
      asked.some((path) => /^\/deltas\/.*\.tardiff$/.test(path)),
      asked.join('\n'),
    );
    assert.ok(!asked.some((path) => path.includes(after.layer)), asked.join('\n'));
  });

  test('without the manifest it takes the whole layer; without the delta that the manifest names it fails', async () => {
    await using registry = await startDockerRegistry();
    await pushSamples(registry.host);
    await using setting = await behindProxy(registry);
    const { user, server, after } = setting;
    await deltasEnded(server.url);
    const { blobs } = storeFiles(join(server.folder, 'state'));
    const lose = (kind: string): void => {
      using database = new DatabaseSync(blobs, { timeout: 5000 });
      assert.equal(database.prepare('UPDATE blob SET size = NULL WHERE kind = ?').run(kind).changes, 1);
    };
    lose('delta');
    await assert.rejects(update(user));
    await runHello(user, '1.0');
    lose('delta-manifest');
    const start = server.log.length;
    await update(user);
    await runHello(user, '2.0');
    await requireFilesAfter(user.installation);
    assert.ok(pathsAsked(server, start).some((path) => path.includes(after.layer)));
  });

  test('where the registry has lost the old image, it takes the whole layer', async () => {
    await using registry = await startDockerRegistry();
    await pushSamples(registry.host);
    await using setting = await behindProxy(registry, async ({ digest }) => {
      const { statusCode } = await request(`${registry.url}/v2/${REPOSITORY}/manifests/${digest}`, {
        method: 'DELETE',
      });
      assert.equal(statusCode, 202);
    });
    const { user, server } = setting;
    assert.partialDeepStrictEqual(await deltasEnded(server.url), { made: 0, failed: 1 });
    assert.equal(await deltaLabel(server.url), undefined);
    await update(user);
    await runHello(user, '2.0');
  });
});

/** Pushes two versions, and starts a server that makes the delta between them; it may then be killed. */
async function pushed(t: TestContext, more: (registry: string) => object = () => ({})) {
  const resources = new AsyncDisposableStack();
  t.after(() => resources.disposeAsync());
  const registry = resources.use(await startDockerRegistry());
  await pushSamples(registry.host);
  const writer = new RegistryWriter(registry.url);
  await pushImage(writer, join(SAMPLE_IMAGES, REPOSITORY), FILES_BEFORE);
  const server = resources.use(
    await startRegindexer({
      config: {
        indexes: { apps: { registry: registry.url, registry_public: '/', deltas: { min_size: '1kB' } } },
        server: { port: 0, registry_proxy: true, admin_token: TOKEN, max_age: 0 },
        clean_files_after: 0,
        ...more(registry.url),
      },
    }),
  );
  await settled(server.url);
  const folder = resources.use(await mkdtempDisposable(join(tmpdir(), 'regindexer-deltas-'))).path;
  const after = await pushImage(writer, await makeSample(REPOSITORY, '2.0', folder), FILES_AFTER);
  return { registry, writer, server, after, folder };
}

suite('deltas that the server makes', PEERS, () => {
  test('are whole whenever one is shown, also if it is killed at any moment', async (t) => {
    const { server } = await pushed(t);
    const moments: readonly (() => Promise<unknown>)[] = [
      () => reindex(server.url),
      () => eventually(async () => assert.notEqual((await statusOf(server.url)).deltas, undefined)),
      ...[0, 20, 60, 150, 300, 450, 600].map((delay) => async () => {
        await eventually(async () => {
          const { deltas } = await statusOf(server.url);
          assert.ok(deltas?.making !== undefined || deltas?.made === 1);
        });
        await setTimeout(delay);
      }),
    ];
    for (const reached of moments) {
      await reached();
      await server.kill();
      await server.start();
      await eventually(() => get(`${server.url}/readyz`));
      await requireWhole(server.url);
    }
    await settled(server.url);
    assert.partialDeepStrictEqual(await deltasEnded(server.url), { made: 1, failed: 0 });
    assert.equal(await eventually(() => requireWhole(server.url)), 1);
  });

  test(
    'wait while the disk has no room for the layers, and are made when it has',
    { skip: cannotMount() },
    async (t) => {
      await using disks = await mkdtempDisposable(join(tmpdir(), 'regindexer-disks-'));
      using mounted = new DisposableStack();
      const disk = mounted.adopt(await SmallDisk.mount(join(disks.path, 'state')), (one) => one.unmount());
      const { server } = await pushed(t, () => ({ state_dir: disk.path }));
      // The rebuild has room for what it writes, but the layers have not.
      disk.fill();
      disk.leave(700_000);
      await reindex(server.url);
      await eventually(async () => {
        const { deltas } = await statusOf(server.url);
        assert.match(deltas?.lastError?.message ?? '', /make room/);
        assert.partialDeepStrictEqual(deltas, { made: 0, failed: 0, pending: 1 });
      });
      assert.equal(await deltaLabel(server.url), undefined);
      disk.free();
      assert.partialDeepStrictEqual(await deltasEnded(server.url), { made: 1, failed: 0 });
      assert.equal(await eventually(() => requireWhole(server.url)), 1);
    },
  );

  test('wait while the store has no room for them, and are made once it was cleaned', async (t) => {
    const index = { registry_public: '/', deltas: { min_size: '1kB', max_store: '1MB' } };
    const { server } = await pushed(t, (registry) => ({ indexes: { apps: { registry, ...index } } }));
    const { blobs } = storeFiles(join(server.folder, 'state'));
    {
      using database = new DatabaseSync(blobs, { timeout: 5000 });
      database.exec(`INSERT INTO blob (kind, digest, size) VALUES ('delta', '${digestOf('withdrawn')}', 1000000)`);
    }
    await reindex(server.url);
    await eventually(async () => {
      const { deltas } = await statusOf(server.url);
      assert.partialDeepStrictEqual(deltas, { pending: 1, full: true });
    });
    // The one before noted that it is not in use; this one removes it, and publishes nothing.
    await reindex(server.url);
    assert.partialDeepStrictEqual(await deltasEnded(server.url), { made: 1, failed: 0 });
  });

  test('are told of at the API: from which version, and how large they are', async (t) => {
    const { server } = await pushed(t);
    await reindex(server.url);
    await deltasEnded(server.url);
    await eventually(async () => {
      const { images } = JSON.parse((await get(`${server.url}/api/apps/org.example.Hello`)).body.toString()) as {
        images: readonly { updates: readonly { from: string; size: number }[] }[];
      };
      const [{ from, size } = assert.fail()] = images[0]?.updates ?? [];
      assert.equal(from, '1.0');
      assert.ok(size < 20_000, String(size));
    });
  });

  test('are exported with the index that names them', async (t) => {
    const { registry, folder, after } = await pushed(t);
    // The images as they were before, and then as they are.
    const writer = new RegistryWriter(registry.url);
    const file = join(folder, 'config.yaml');
    const site = join(folder, 'site');
    await writeFile(
      file,
      stringify({
        state_dir: join(folder, 'state'),
        indexes: { apps: { registry: registry.url, deltas: { min_size: '1kB' } } },
        server: { base_url: 'https://apps.example.org' },
      }),
    );
    await pushImage(writer, join(SAMPLE_IMAGES, REPOSITORY), FILES_BEFORE);
    const run = async (): Promise<void> => {
      const { code, stderr } = await runRegindexer(['-c', file, 'export', site]);
      assert.equal(code, 0, stderr);
    };
    await run();
    await pushImage(writer, join(folder, REPOSITORY), FILES_AFTER);
    await run();
    const index = JSON.parse(await readFile(join(site, 'index/static'), 'utf8')) as IndexJson;
    const image = index.Results.find(({ Name }) => Name === REPOSITORY)?.Images[0];
    assert.equal(image?.Digest, after.digest);
    const label = image?.Labels[DELTA_URL] ?? '';
    const exported = (url: string): Promise<Buffer> =>
      readFile(join(site, url.replace('https://apps.example.org/', '')));
    const { layers } = JSON.parse((await exported(label)).toString()) as DeltaManifest;
    assert.equal(layers.length, 1);
    for (const { digest, urls: [url = ''] = [] } of layers) assert.equal(digestOf(await exported(url)), digest);
  });
});

test(
  'of several replicas the leading one makes deltas, and all serve them',
  needs('docker-registry', 'skopeo', 'postgres', 'nginx', 'gcc', 'rsvg-convert'),
  async () => {
    await using registry = await startDockerRegistry();
    await pushSamples(registry.host);
    const writer = new RegistryWriter(registry.url);
    await pushImage(writer, join(SAMPLE_IMAGES, REPOSITORY), FILES_BEFORE);
    await using replicas = await startReplicas({
      count: 2,
      config: () => ({
        indexes: { apps: { registry: registry.url, registry_public: '/', deltas: { min_size: '1kB' } } },
        server: { registry_proxy: true, max_age: 0 },
      }),
    });
    const leader = await replicas.leader();
    await settled(leader.url);
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-deltas-'));
    await pushImage(writer, await makeSample(REPOSITORY, '2.0', folder.path), FILES_AFTER);
    await reindex(leader.url);
    // What is made when its leader dies is made by the next one.
    await leader.service.kill();
    const next = await replicas.leader(leader);
    assert.partialDeepStrictEqual(await deltasEnded(next.url), { made: 1, failed: 0 });
    await leader.service.start();
    for (const { url } of replicas.all) assert.equal(await eventually(() => requireOne(url)), 1);
  },
);

/** Requires that a delta is shown, and whole. */
async function requireOne(url: string): Promise<number> {
  const count = await requireWhole(url);
  assert.equal(count, 1);
  return count;
}
