/** Tests of images that are copied to files. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ExportFolder } from '../../src/export/export-folder.ts';
import { copyImages } from '../../src/export/image-files.ts';
import { digestOf, type Digest } from '../../src/registry/digest.ts';
import { playRegistry, readRegistry } from '../registry/http/play-registry.ts';

const LAYER = 'layer '.repeat(10_000);
const CONFIG = '{"os":"linux","architecture":"amd64"}';
const OCI = 'application/vnd.oci.image.manifest.v1+json';

function descriptor(content: string): { mediaType: string; digest: Digest; size: number } {
  return { mediaType: 'application/octet-stream', digest: digestOf(content), size: content.length };
}

/** An image manifest of {@link CONFIG} and {@link LAYER}. */
function manifestOf(members: object = {}): string {
  return JSON.stringify({ schemaVersion: 2, config: descriptor(CONFIG), layers: [descriptor(LAYER)], ...members });
}

/** Copies one image from a registry whose answers about the layer are `sendLayer`'s, if given. */
async function copyFrom(
  t: TestContext,
  manifest: string,
  sendLayer: (response: ServerResponse) => void = (response) => void response.writeHead(200).end(LAYER),
) {
  const path = await mkdtemp(join(tmpdir(), 'regindexer-images-'));
  t.after(() => rm(path, { recursive: true }));
  const { url, seen } = await playRegistry(t, (request, response) => {
    if (request.url.endsWith(digestOf(LAYER))) sendLayer(response);
    else response.writeHead(200, { 'content-type': OCI }).end(request.url.includes('/manifests/') ? manifest : CONFIG);
  });
  const source = readRegistry(t, url, { pauses: [] });
  const copy = async () => {
    const folder = await ExportFolder.open(path);
    const progress: string[] = [];
    const untyped = await copyImages(folder, [{ repository: 'apps/hello', digest: digestOf(manifest), source }], {
      onProgress: (done, total) => progress.push(`${done} of ${total}`),
      signal: t.signal,
    });
    assert.deepEqual(progress, ['1 of 1']);
    return untyped;
  };
  const file = (kind: string, digest: string): string => join(path, `v2/apps/hello/${kind}/${digest}`);
  return { copy, seen, file };
}

test('manifest and blobs are copied once; a blob that breaks off is read again', async (t) => {
  let failures = 2;
  const manifest = manifestOf({ mediaType: OCI });
  const { copy, seen, file } = await copyFrom(t, manifest, (response) => {
    if (failures-- === 0) response.writeHead(200).end(LAYER);
    else response.writeHead(200, { 'content-length': LAYER.length }).write('layer', () => response.destroy());
  });
  assert.deepEqual(await copy(), []);
  assert.equal(await readFile(file('manifests', digestOf(manifest)), 'utf8'), manifest);
  assert.equal(await readFile(file('blobs', digestOf(CONFIG)), 'utf8'), CONFIG);
  assert.equal(await readFile(file('blobs', digestOf(LAYER)), 'utf8'), LAYER);
  const asked = seen.length;
  await copy();
  assert.equal(seen.length, asked);

  // Files that were damaged since.
  await writeFile(file('manifests', digestOf(manifest)), manifest.slice(1));
  await writeFile(file('blobs', digestOf(CONFIG)), '');
  failures = 0;
  await copy();
  assert.equal(await readFile(file('manifests', digestOf(manifest)), 'utf8'), manifest);
  assert.equal(await readFile(file('blobs', digestOf(CONFIG)), 'utf8'), CONFIG);
});

test('a manifest without its media type is told of, because a host must send that', async (t) => {
  const { copy } = await copyFrom(t, manifestOf());
  assert.deepEqual(await copy(), ['apps/hello']);
  assert.deepEqual(await copy(), ['apps/hello'], 'also where nothing is read again');
});

test('a manifest cannot name a file of its own choice', async (t) => {
  for (const digest of ['sha256:../../../outside', 'sha256:'.padEnd(71, '/'), '../outside']) {
    const { copy, seen } = await copyFrom(
      t,
      manifestOf({ mediaType: OCI, layers: [{ ...descriptor(LAYER), digest }] }),
    );
    await assert.rejects(copy(), {
      code: 'malformed',
      message: /layers\[0\]\.digest: expected a sha256 or sha512 digest$/,
    });
    assert.equal(seen.length, 1);
  }
});

test('a blob that is not what its digest says leaves no file, nor its manifest', async (t) => {
  const manifest = manifestOf({ mediaType: OCI });
  for (const [content, code] of [
    [LAYER.replace('l', 'L'), 'digest-mismatch'],
    [`${LAYER}more`, 'too-large'],
    [LAYER.slice(1), 'digest-mismatch'],
  ] as const) {
    const { copy, file } = await copyFrom(t, manifest, (response) => void response.writeHead(200).end(content));
    await assert.rejects(copy(), { code });
    for (const path of [file('blobs', digestOf(LAYER)), file('manifests', digestOf(manifest))])
      await assert.rejects(stat(path), { code: 'ENOENT' });
  }
});
