import assert from 'node:assert/strict';
import test from 'node:test';
import { digestOf } from '../../../src/registry/digest.ts';
import { playRegistry, readRegistry, sendJson } from './play-registry.ts';

const BODY = JSON.stringify({ os: 'linux', architecture: 'amd64', config: { Labels: { a: 'b' } } });
const DESCRIPTOR = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(BODY), size: BODY.length };

test('an image config is read from its blob', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) => response.end(BODY));
  assert.deepEqual(await readRegistry(t, url).config('a', DESCRIPTOR), {
    os: 'linux',
    architecture: 'amd64',
    labels: { a: 'b' },
  });
  assert.deepEqual(seen, [`GET /v2/a/blobs/${digestOf(BODY)}`]);
});

test('bytes that do not match the digest are refused', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => response.end(`${BODY} `));
  await assert.rejects(readRegistry(t, url).config('a', DESCRIPTOR), { code: 'digest-mismatch' });
});

test('a config over 16 MiB is refused without a request where its descriptor says so', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) => response.end(Buffer.alloc(16 * 1024 * 1024 + 1)));
  const source = readRegistry(t, url);
  await assert.rejects(source.config('a', { ...DESCRIPTOR, size: 16 * 1024 * 1024 + 1 }), { code: 'too-large' });
  assert.deepEqual(seen, []);
  await assert.rejects(source.config('a', DESCRIPTOR), { code: 'too-large' });
});

test('a config with a small size in its descriptor is read up to 1 MiB, a large one up to 16 MiB', async (t) => {
  const body = JSON.stringify({
    os: 'linux',
    architecture: 'amd64',
    config: { Labels: { long: 'x'.repeat(2 * 1024 * 1024) } },
  });
  const { url } = await playRegistry(t, (_request, response) => response.end(body));
  const source = readRegistry(t, url);
  const descriptor = { ...DESCRIPTOR, digest: digestOf(body) };
  await assert.rejects(source.config('a', descriptor), { code: 'too-large' });
  assert.equal((await source.config('a', { ...descriptor, size: body.length }))?.os, 'linux');
});

test('a config that does not describe an image is undefined', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => response.end('{}'));
  assert.equal(await readRegistry(t, url).config('a', { ...DESCRIPTOR, digest: digestOf('{}') }), undefined);
});

test('a missing blob is not found', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => sendJson(response, {}, {}, 404));
  await assert.rejects(readRegistry(t, url).config('a', DESCRIPTOR), { code: 'not-found' });
});
