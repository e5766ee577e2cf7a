import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, zstdCompressSync } from 'node:zlib';
import { digestOf, type Digest } from '../../src/registry/digest.ts';
import { makeSample, pushSamples, SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { copyImage } from '../peers/skopeo.ts';
import { get, indexOf, reindex, settled, TOKEN } from './ask-server.ts';
import { RegistryWriter } from './registry-writer.ts';
import { installHello, runHello, update } from './sample-user.ts';

async function json<T>(bytes: Promise<Buffer>): Promise<T> {
  return JSON.parse((await bytes).toString()) as T;
}

/** The image of a layout with one layer. */
async function imageIn(
  layout: string,
): Promise<{ readonly digest: Digest; readonly diffId: Digest; readonly layer: Digest; readonly tar: Buffer }> {
  const blob = (digest: Digest): Promise<Buffer> => readFile(join(layout, 'blobs', ...digest.split(':')));
  const { manifests } = await json<{ manifests: readonly [{ digest: Digest }] }>(readFile(join(layout, 'index.json')));
  const { layers } = await json<{ layers: readonly [{ digest: Digest }] }>(blob(manifests[0].digest));
  const tar = gunzipSync(await blob(layers[0].digest));
  return { digest: manifests[0].digest, diffId: digestOf(tar), layer: layers[0].digest, tar };
}

/** A tar-diff (containers/tar-diff, file-format.md) that brings all of the new tar along. */
function wholeTarDiff(tar: Buffer): Buffer {
  const size: number[] = [];
  for (let rest = tar.length; rest > 0 || size.length === 0; rest = Math.floor(rest / 128))
    size.push((rest % 128) + (rest >= 128 ? 128 : 0));
  return Buffer.concat([
    Buffer.from('tardf1\n\0', 'latin1'),
    zstdCompressSync(Buffer.concat([Buffer.from([0, ...size]), tar])),
  ]);
}

test(
  'flatpak finds an update by _deltaindex through the proxy, whatever tags an index takes',
  needs('docker-registry', 'skopeo', 'flatpak', 'dbus-daemon', 'gcc', 'rsvg-convert'),
  async () => {
    await using registry = await startDockerRegistry();
    await pushSamples(registry.host);
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

    const layout = await makeSample('apps/hello', '2.0', join(user.folder, 'images'));
    const [before, after] = [await imageIn(join(SAMPLE_IMAGES, 'apps/hello')), await imageIn(layout)];
    await copyImage({ from: `oci:${layout}`, to: `${registry.host}/apps/hello:latest` });
    const writer = new RegistryWriter(registry.url);
    const config = await writer.blob('apps/hello', 'application/vnd.redhat.delta.config.v1+json', '{}');
    const delta = await writer.blob('apps/hello', 'application/vnd.redhat.tar-diff', wholeTarDiff(after.tar));
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
    const manifest = await writer.manifest('apps/hello', 'application/vnd.oci.image.manifest.v1+json', {
      config,
      layers,
      annotations,
    });
    await writer.index('apps/hello', [{ ...manifest, annotations }], '_deltaindex');

    await reindex(server.url);
    await update(user);
    await runHello(user, '2.0');
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
