import assert from 'node:assert/strict';
import { link, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import test from 'node:test';
import * as fc from 'fast-check';
import { digestOf } from '../../../src/registry/digest.ts';
import { LayoutRegistrySource } from '../../../src/registry/layout/layout-registry-source.ts';
import { parseLayoutTags } from '../../../src/registry/layout/layout.ts';
import { RegistryError } from '../../../src/registry/registry-error.ts';
import {
  blobFile,
  CONFIG,
  INDEX,
  MANIFEST,
  temporaryFolder,
  writeBlob,
  writeImage,
  writeIndex,
  writeLayout,
} from './write-layout.ts';

test('an image is read from tag to labels', async (t) => {
  const folder = await temporaryFolder(t);
  const [descriptor] = await writeLayout(join(folder, 'app'), [
    { tag: 'stable', labels: { 'org.flatpak.ref': 'app/a/x86_64/stable' } },
  ]);
  const source = new LayoutRegistrySource(folder);
  assert.deepEqual(await source.tags('app'), ['stable']);
  assert.deepEqual(await source.resolve('app', 'stable'), descriptor);
  const manifest = await source.manifest('app', 'stable');
  assert.ok(manifest.kind === 'image');
  assert.equal(manifest.digest, descriptor?.digest);
  assert.deepEqual(await source.manifest('app', manifest.digest), manifest);
  assert.deepEqual(await source.config('app', manifest.config), {
    os: 'linux',
    architecture: 'amd64',
    labels: { 'org.flatpak.ref': 'app/a/x86_64/stable' },
  });
  assert.equal(source.requests, 0);
});

test('only repositories that are named or match a glob are listed, read and served', async (t) => {
  const folder = await temporaryFolder(t);
  for (const name of ['apps/one', 'apps/two', 'other']) await writeLayout(join(folder, name), [{ tag: 'latest' }]);
  const source = new LayoutRegistrySource(folder, { repositories: ['other', 'apps/t*', 'gone'] });
  assert.deepEqual((await Array.fromAsync(source.repositories())).flat().toSorted(), ['apps/two', 'other']);
  assert.deepEqual([source.covers('apps/one'), await source.tags('other')], [false, ['latest']]);
  await assert.rejects(source.openManifest('apps/one', 'latest'), { code: 'not-found' });
});

test('an image without a name, or with an invalid tag as its name, is latest', async (t) => {
  for (const tag of [undefined, 'app/org.example.App/x86_64/stable', '', '-x']) {
    const folder = await temporaryFolder(t);
    const layout = join(folder, 'app');
    await writeIndex(layout, [[tag, await writeImage(layout)]]);
    assert.deepEqual(await new LayoutRegistrySource(folder).tags('app'), ['latest']);
  }
});

test('several images with one tag are an image index with their platforms', async (t) => {
  const folder = await temporaryFolder(t);
  const layout = join(folder, 'app');
  const images = [
    await writeImage(layout, { architecture: 'amd64' }),
    await writeImage(layout, { architecture: 'arm64' }),
  ];
  await writeIndex(
    layout,
    [...images, ...images].map((image) => ['latest', image]),
  );
  const source = new LayoutRegistrySource(folder);
  const sorted = images.toSorted((a, b) => (a.digest < b.digest ? -1 : 1));

  const { descriptor, bytes } = await source.openManifest('app', 'latest');
  assert.equal(descriptor.digest, digestOf(bytes));
  assert.equal(descriptor.mediaType, INDEX);
  const document: unknown = JSON.parse(bytes.toString());
  const platform = (digest: string): object => ({
    os: 'linux',
    architecture: digest === images[0]?.digest ? 'amd64' : 'arm64',
  });
  assert.deepEqual(document, {
    schemaVersion: 2,
    mediaType: INDEX,
    manifests: sorted.map((image) => ({ ...image, platform: platform(image.digest) })),
  });

  assert.deepEqual(await source.resolve('app', 'latest'), descriptor);
  assert.deepEqual(await source.manifest('app', 'latest'), { kind: 'index', ...descriptor, manifests: sorted });
  assert.deepEqual(await source.openManifest('app', descriptor.digest), { descriptor, bytes });

  await writeIndex(
    layout,
    images.toReversed().map((image) => ['latest', image]),
  );
  assert.deepEqual((await source.resolve('app', 'latest')).digest, descriptor.digest);
});

test('an image that is listed twice is itself', async (t) => {
  const folder = await temporaryFolder(t);
  const layout = join(folder, 'app');
  const image = await writeImage(layout);
  await writeIndex(layout, [
    ['latest', image],
    ['latest', image],
    ['other', image],
  ]);
  const source = new LayoutRegistrySource(folder);
  assert.deepEqual(await source.tags('app'), ['latest', 'other']);
  assert.deepEqual(await source.resolve('app', 'latest'), image);
});

test('an image that cannot be read does not hide the others of its tag', async (t) => {
  const folder = await temporaryFolder(t);
  const layout = join(folder, 'app');
  const images = [
    await writeImage(layout, { architecture: 'amd64' }),
    await writeImage(layout, { architecture: 'arm64' }),
  ];
  await writeIndex(
    layout,
    images.map((image) => ['latest', image]),
  );
  const [gone, kept] = images;
  assert.ok(gone && kept);
  await rm(blobFile(layout, gone.digest));
  const source = new LayoutRegistrySource(folder);
  const index = await source.manifest('app', 'latest');
  assert.equal(index.kind === 'index' && index.manifests.length, 2);
  assert.equal((await source.manifest('app', kept.digest)).kind, 'image');
  await assert.rejects(source.manifest('app', gone.digest), { code: 'not-found' });
});

test('an image index on disk and its children are read', async (t) => {
  const folder = await temporaryFolder(t);
  const layout = join(folder, 'app');
  const image = await writeImage(layout);
  const index = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [image] });
  await writeIndex(layout, [
    ['latest', { mediaType: INDEX, digest: await writeBlob(layout, index), size: index.length }],
  ]);
  const source = new LayoutRegistrySource(folder);
  const manifest = await source.manifest('app', 'latest');
  assert.ok(manifest.kind === 'index');
  assert.deepEqual(manifest.manifests, [image]);
  assert.deepEqual((await source.openManifest('app', image.digest)).descriptor, image);
});

test('a blob that does not match its name is refused', async (t) => {
  const folder = await temporaryFolder(t);
  const layout = join(folder, 'app');
  const [image] = await writeLayout(layout);
  assert.ok(image);
  await writeFile(blobFile(layout, image.digest), '{}');
  const source = new LayoutRegistrySource(folder);
  await assert.rejects(source.manifest('app', 'latest'), {
    code: 'digest-mismatch',
    message: new RegExp(blobFile(layout, image.digest)),
  });
});

test('documents that are too large are refused, and named', async (t) => {
  const folder = await temporaryFolder(t);
  const layout = join(folder, 'app');
  const [image] = await writeLayout(layout);
  assert.ok(image);
  const source = new LayoutRegistrySource(folder);
  const manifest = await source.manifest('app', 'latest');
  assert.ok(manifest.kind === 'image');
  await truncate(blobFile(layout, manifest.config.digest), 16 * 1024 * 1024 + 1);
  await assert.rejects(source.config('app', manifest.config), { code: 'too-large' });
  await truncate(blobFile(layout, image.digest), 4 * 1024 * 1024 + 1);
  await assert.rejects(source.manifest('app', 'latest'), { code: 'too-large' });
});

test('an index.json of another shape is malformed and named', async (t) => {
  const folder = await temporaryFolder(t);
  const layout = join(folder, 'app');
  await writeLayout(layout);
  const source = new LayoutRegistrySource(folder);
  const manifests = [
    1,
    { mediaType: MANIFEST },
    { mediaType: MANIFEST, digest: digestOf(''), size: 0, annotations: { a: 1 } },
  ].map((entry) => JSON.stringify({ manifests: [entry] }));
  for (const content of ['', '{"manifests":', '[]', '{}', '{"manifests":{}}', ...manifests]) {
    await writeFile(join(layout, 'index.json'), content);
    await assert.rejects(source.tags('app'), { code: 'malformed', message: /index\.json: / }, content);
  }
});

test('a blob is streamed, whole or a part of it', async (t) => {
  const folder = await temporaryFolder(t);
  await writeLayout(join(folder, 'app'));
  await writeLayout(join(folder, 'other'));
  const digest = await writeBlob(join(folder, 'app'), 'hello world');
  const empty = await writeBlob(join(folder, 'app'), '');
  const source = new LayoutRegistrySource(folder);
  const blob = await source.openBlob('app', digest);
  assert.equal(blob.size, 11);
  assert.equal(await text(blob.stream()), 'hello world');
  assert.equal(await text(blob.stream(6)), 'world');
  assert.equal(await text(blob.stream(0, 4)), 'hello');
  assert.equal((await buffer((await source.openBlob('app', empty)).stream())).length, 0);
  await assert.rejects(source.openBlob('other', digest), { code: 'not-found' });
  await assert.rejects(source.openBlob('app', digestOf('x')), { code: 'not-found' });
});

test('a blob is sent only if it matches its digest, also after the file has changed', async (t) => {
  const folder = await temporaryFolder(t);
  const layout = join(folder, 'app');
  await writeLayout(layout);
  const digest = await writeBlob(layout, 'hello world');
  const file = blobFile(layout, digest);
  const source = new LayoutRegistrySource(folder);
  const before = await source.openBlob('app', digest);
  assert.equal(await text(before.stream()), 'hello world');

  const secret = join(await temporaryFolder(t), 'secret');
  await writeFile(secret, 'what nobody may see');
  await rm(file);
  await link(secret, file);
  await assert.rejects(source.openBlob('app', digest), { code: 'digest-mismatch', message: new RegExp(file) });
  await assert.rejects(text(before.stream()), { code: 'unavailable' });

  await rm(file);
  await writeBlob(layout, 'hello world');
  assert.equal(await text((await source.openBlob('app', digest)).stream()), 'hello world');
  await writeFile(file, 'hello World');
  await assert.rejects(source.openBlob('app', digest), { code: 'digest-mismatch' });
});

test('a blob that is not a manifest is not served as one', async (t) => {
  const folder = await temporaryFolder(t);
  const layout = join(folder, 'app');
  await writeLayout(layout);
  const source = new LayoutRegistrySource(folder);
  const manifest = await source.manifest('app', 'latest');
  assert.ok(manifest.kind === 'image');
  assert.equal(manifest.config.mediaType, CONFIG);
  for (const digest of [manifest.config.digest, await writeBlob(layout, 'no JSON'), digestOf('x')]) {
    await assert.rejects(source.openManifest('app', digest), { code: 'not-found' });
  }
  await assert.rejects(source.openManifest('app', 'no-such-tag'), { code: 'not-found' });
  await assert.rejects(source.openManifest('app', '../index.json'), { code: 'not-found' });
});

test('an aborted signal ends each call with its reason', async (t) => {
  const source = new LayoutRegistrySource(await temporaryFolder(t));
  const signal = AbortSignal.abort(new Error('enough'));
  await assert.rejects(source.tags('app', signal), /enough/);
  await assert.rejects(Array.fromAsync(source.repositories(signal)), /enough/);
});

test('any index.json gives tags or a RegistryError', () => {
  const keys = fc.constantFrom('mediaType', 'digest', 'size', 'annotations', '__proto__');
  const value = fc.oneof(
    fc.constantFrom('application/x', digestOf('x'), 1, null),
    fc.dictionary(fc.constant('org.opencontainers.image.ref.name'), fc.jsonValue()),
    fc.jsonValue(),
  );
  const document = fc.record({
    manifests: fc.oneof(fc.array(fc.oneof(fc.dictionary(keys, value), fc.jsonValue())), fc.jsonValue()),
  });
  const bytes = fc.oneof(
    document.map((index) => Buffer.from(JSON.stringify(index))),
    fc.uint8Array(),
  );
  fc.assert(
    fc.property(bytes, (input) => {
      try {
        for (const named of parseLayoutTags(input).values()) assert.ok(named.length > 0);
      } catch (error) {
        assert.ok(error instanceof RegistryError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
