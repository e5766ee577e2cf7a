import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { deltaBetween } from '../deltas/layers.ts';
import { makeSample, pushSamples, SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { get, indexOf, reindex, settled, TOKEN } from './ask-server.ts';
import { FILES_AFTER, FILES_BEFORE, pushImage, REPOSITORY, requireFilesAfter } from './pushed-app.ts';
import { RegistryWriter } from './registry-writer.ts';
import { installHello, runHello, update } from './sample-user.ts';

test(
  'flatpak finds an update by _deltaindex through the proxy, and applies the delta',
  needs('docker-registry', 'skopeo', 'flatpak', 'dbus-daemon', 'gcc', 'rsvg-convert'),
  async () => {
    await using registry = await startDockerRegistry();
    await pushSamples(registry.host);
    const writer = new RegistryWriter(registry.url);
    const before = await pushImage(writer, join(SAMPLE_IMAGES, REPOSITORY), FILES_BEFORE);
    await using user = await startFlatpakClient();
    await using server = await startRegindexer({
      config: {
        indexes: {
          apps: { registry: registry.url, registry_public: '/', tags: ['latest'] },
          all: { registry: registry.url, registry_public: '/' },
        },
        server: { port: 0, registry_proxy: true, admin_token: TOKEN, max_age: 0 },
      },
      args: ['-v'],
    });
    await settled(server.url);
    await user.flatpak('remote-add', '--user', 'apps', `oci+${server.url}`);
    await installHello(user);

    const layout = await makeSample(REPOSITORY, '2.0', join(user.folder, 'images'));
    const after = await pushImage(writer, layout, FILES_AFTER);
    const config = await writer.blob(REPOSITORY, 'application/vnd.redhat.delta.config.v1+json', '{}');
    const bytes = await deltaBetween(before.tar, after.tar);
    assert.ok(bytes.length < 20_000, `the delta has ${bytes.length} bytes`);
    const delta = await writer.blob(REPOSITORY, 'application/vnd.redhat.tar-diff', bytes);
    const annotations = { 'io.github.containers.delta.target': after.digest };
    const layers = [
      {
        ...delta,
        annotations: {
          'io.github.containers.delta.from': before.diffId,
          'io.github.containers.delta.to': after.diffId,
        },
      },
    ];
    const manifest = await writer.manifest(REPOSITORY, 'application/vnd.oci.image.manifest.v1+json', {
      config,
      layers,
      annotations,
    });
    await writer.index(REPOSITORY, [{ ...manifest, annotations }], '_deltaindex');

    await reindex(server.url);
    await update(user);
    await runHello(user, '2.0');
    await requireFilesAfter(user.installation);
    const asked = (digest: string): boolean =>
      server.log.includes(`"method":"GET","url":"/v2/apps/hello/blobs/${digest}"`);
    assert.ok(asked(delta.digest), 'the delta was not asked for');
    assert.ok(!asked(after.layer), 'the layer was asked for');
    assert.deepEqual(JSON.parse((await get(`${server.url}/v2/apps/hello/tags/list`)).body.toString()), {
      name: 'apps/hello',
      tags: ['latest'],
    });
    for (const index of ['apps', 'all'])
      assert.doesNotMatch(JSON.stringify(await indexOf(server.url, index)), /_deltaindex/);
  },
);
