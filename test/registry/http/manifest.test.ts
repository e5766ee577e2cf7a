import assert from 'node:assert/strict';
import test from 'node:test';
import { digestOf } from '../../../src/registry/digest.ts';
import { playRegistry, readRegistry, sendJson } from './play-registry.ts';

const TYPE = 'application/vnd.oci.image.index.v1+json';
const BODY = JSON.stringify({ schemaVersion: 2, mediaType: TYPE, manifests: [] });
const MANIFEST = { kind: 'index', mediaType: TYPE, digest: digestOf(BODY), size: BODY.length, manifests: [] };

test('a manifest is read by tag and by digest', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) => {
    response.writeHead(200, { 'content-type': TYPE, 'docker-content-digest': digestOf(BODY) }).end(BODY);
  });
  const source = readRegistry(t, url);
  assert.deepEqual(await source.manifest('a/b', 'latest'), MANIFEST);
  assert.deepEqual(await source.manifest('a/b', digestOf(BODY)), MANIFEST);
  assert.deepEqual(seen, ['GET /v2/a/b/manifests/latest', `GET /v2/a/b/manifests/${digestOf(BODY)}`]);
});

test('the bytes of a manifest are read by digest', async (t) => {
  const { url } = await playRegistry(t, (_request, response) =>
    response.writeHead(200, { 'content-type': TYPE }).end(BODY),
  );
  const source = readRegistry(t, url);
  const { descriptor, bytes } = await source.openManifest('a/b', digestOf(BODY));
  assert.deepEqual(descriptor, { mediaType: TYPE, digest: digestOf(BODY), size: BODY.length });
  assert.equal(bytes.toString(), BODY);
  await assert.rejects(source.openManifest('a/b', digestOf('y')), { code: 'digest-mismatch' });
});

test('without a digest in the answer, a tag has the digest of its bytes', async (t) => {
  const { url } = await playRegistry(t, (_request, response) =>
    response.writeHead(200, { 'content-type': TYPE }).end(BODY),
  );
  assert.deepEqual(await readRegistry(t, url).manifest('a', 'latest'), MANIFEST);
});

test('a digest of sha512 is checked as such', async (t) => {
  const digest = digestOf(BODY, 'sha512');
  const { url } = await playRegistry(t, (_request, response) =>
    response.writeHead(200, { 'content-type': TYPE }).end(BODY),
  );
  assert.equal((await readRegistry(t, url).manifest('a', digest)).digest, digest);
});

test('bytes that do not match the digest are refused', async (t) => {
  const { url } = await playRegistry(t, (_request, response) =>
    response.writeHead(200, { 'content-type': TYPE, 'docker-content-digest': digestOf('x') }).end(BODY),
  );
  const source = readRegistry(t, url);
  await assert.rejects(source.manifest('a', 'latest'), { code: 'digest-mismatch' });
  await assert.rejects(source.manifest('a', digestOf('y')), { code: 'digest-mismatch' });
});

test('another shape is malformed, and the error says where it came from', async (t) => {
  const { url } = await playRegistry(t, (_request, response) =>
    sendJson(response, { schemaVersion: 2, mediaType: TYPE, manifests: {} }),
  );
  await assert.rejects(readRegistry(t, url).manifest('a', 'latest'), {
    code: 'malformed',
    message: `GET ${url}/v2/a/manifests/latest: manifests: expected an array`,
  });
});

test('a manifest over 4 MiB is refused, whether announced or not', async (t) => {
  for (const announced of [true, false]) {
    const size = 4 * 1024 * 1024 + 1;
    const { url } = await playRegistry(t, (_request, response) => {
      response.writeHead(200, { 'content-type': TYPE, ...(announced ? { 'content-length': size } : {}) });
      if (announced) response.flushHeaders();
      else response.end(Buffer.alloc(size, ' '));
    });
    await assert.rejects(readRegistry(t, url).manifest('a', 'latest'), {
      code: 'too-large',
      message: /larger than 4194304 bytes/,
    });
  }
});
