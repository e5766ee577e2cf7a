import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { digestOf, type Digest } from '../../src/registry/digest.ts';
import type { Descriptor } from '../../src/registry/manifest.ts';
import { deltaBetween, noise } from '../deltas/layers.ts';
import { tarOf, type WrittenEntry } from '../deltas/write-tar.ts';
import { makeSample, pushSamples, SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { get, indexOf, reindex, settled, TOKEN } from './ask-server.ts';
import { RegistryWriter } from './registry-writer.ts';
import { installHello, runHello, update } from './sample-user.ts';

const REPOSITORY = 'apps/hello';
/** The empty blocks at the end of an archive. */
const END_BYTES = 1024;

/** An image of the app that was pushed. */
interface PushedImage {
  readonly digest: Digest;
  readonly diffId: Digest;
  /** The archive of its one layer, and the digest of that as it was pushed. */
  readonly tar: Buffer;
  readonly layer: Digest;
}

async function json<T>(bytes: Promise<Buffer>): Promise<T> {
  return JSON.parse((await bytes).toString()) as T;
}

/** Pushes the image of a layout as `apps/hello:latest`, with more files in its layer. */
async function pushImage(writer: RegistryWriter, layout: string, files: readonly WrittenEntry[]): Promise<PushedImage> {
  const blob = (digest: Digest): Promise<Buffer> => readFile(join(layout, 'blobs', ...digest.split(':')));
  const { manifests } = await json<{ manifests: readonly [Descriptor] }>(readFile(join(layout, 'index.json')));
  const manifest = await json<{ config: Descriptor; layers: readonly [Descriptor] }>(blob(manifests[0].digest));
  const config = await json<{ rootfs: object }>(blob(manifest.config.digest));
  const archive = gunzipSync(await blob(manifest.layers[0].digest));
  const tar = Buffer.concat([archive.subarray(0, -END_BYTES), tarOf(files)]);
  assert.ok(archive.subarray(-END_BYTES).every((byte) => byte === 0));
  const diffId = digestOf(tar);
  const [newConfig, layer] = [
    { ...config, rootfs: { type: 'layers', diff_ids: [diffId] } },
    await writer.blob(REPOSITORY, manifest.layers[0].mediaType, gzipSync(tar)),
  ];
  const { digest } = await writer.manifest(
    REPOSITORY,
    manifests[0].mediaType,
    {
      ...manifest,
      config: await writer.blob(REPOSITORY, manifest.config.mediaType, JSON.stringify(newConfig)),
      layers: [layer],
    },
    'latest',
  );
  return { digest, diffId, tar, layer: layer.digest };
}

/** Files of an app before and after an update: a program, a library that is renamed, and one that becomes a link. */
const PROGRAM = noise(1, 300_000);
const LIBRARY = noise(2, 100_000);
const FILES_BEFORE: readonly WrittenEntry[] = [
  { path: 'files/share/program', content: PROGRAM },
  { path: 'files/share/libx.so.1', content: LIBRARY },
  { path: 'files/share/same', content: noise(3, 50_000) },
  { path: 'files/share/linked', type: '1', target: 'files/share/program' },
  { path: `files/share/${'long'.repeat(40)}`, content: noise(4, 5000) },
];
const FILES_AFTER: readonly WrittenEntry[] = [
  {
    path: 'files/share/program',
    content: Buffer.concat([PROGRAM.subarray(200_000), noise(5, 100), PROGRAM.subarray(0, 200_000).map(nextInPlaces)]),
  },
  { path: 'files/share/libx.so.2', content: LIBRARY.subarray(40) },
  { path: 'files/share/same', content: noise(3, 50_000) },
  { path: 'files/share/linked', content: PROGRAM.subarray(7) },
  { path: `files/share/moved/${'long'.repeat(40)}`, content: noise(4, 5000) },
];

/** One byte in 24 is larger, as addresses are in the next build of a program. */
function nextInPlaces(byte: number, place: number): number {
  return place % 24 === 5 ? byte + 16 : byte;
}

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
    const installed = join(user.installation, 'app/org.example.Hello/current/active');
    for (const { path, content } of FILES_AFTER)
      assert.ok((await readFile(join(installed, path))).equals(content ?? assert.fail()));
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
