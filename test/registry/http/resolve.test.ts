import assert from 'node:assert/strict';
import test from 'node:test';
import { digestOf } from '../../../src/registry/digest.ts';
import { playRegistry, readRegistry, sendJson } from './play-registry.ts';

const TYPE = 'application/vnd.oci.image.index.v1+json';
const BODY = JSON.stringify({ schemaVersion: 2, mediaType: TYPE, manifests: [] });

test('a tag is resolved by one HEAD that accepts every manifest type', async (t) => {
  let accept = '';
  const { url, seen } = await playRegistry(t, (request, response) => {
    accept = request.headers.accept ?? '';
    response.writeHead(200, { 'content-type': `${TYPE}; charset=utf-8`, 'content-length': 480, 'docker-content-digest': digestOf('x') }).end();
  });
  assert.deepEqual(await readRegistry(t, url).resolve('a', 'latest'), { mediaType: TYPE, digest: digestOf('x'), size: 480 });
  assert.deepEqual(seen, ['HEAD /v2/a/manifests/latest']);
  assert.deepEqual(accept.split(', '), [
    'application/vnd.oci.image.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.v2+json',
    'application/vnd.oci.image.index.v1+json',
    'application/vnd.docker.distribution.manifest.list.v2+json',
  ]);
});

test('HEADs share a connection', async (t) => {
  const { url, connections } = await playRegistry(t, (_request, response) => {
    response.writeHead(200, { 'content-type': TYPE, 'content-length': 480, 'docker-content-digest': digestOf('x') }).end();
  });
  const source = readRegistry(t, url, { concurrency: 1 });
  for (let number = 0; number < 5; number++) await source.resolve('a', 'latest');
  assert.equal(connections(), 1);
});

for (const missing of ['docker-content-digest', 'content-type', 'content-length']) {
  test(`without ${missing} the manifest itself is read`, async (t) => {
    const { url, seen } = await playRegistry(t, (request, response) => {
      const headers: Record<string, string> = { 'docker-content-digest': digestOf(BODY), 'content-type': TYPE, 'content-length': String(BODY.length) };
      if (request.method === 'HEAD') delete headers[missing];
      response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : BODY);
    });
    assert.deepEqual(await readRegistry(t, url).resolve('a', 'latest'), { mediaType: TYPE, digest: digestOf(BODY), size: BODY.length });
    assert.deepEqual(seen, ['HEAD /v2/a/manifests/latest', 'GET /v2/a/manifests/latest']);
  });
}

test('a digest that is none counts as missing', async (t) => {
  const { url } = await playRegistry(t, (request, response) => {
    response.writeHead(200, { 'docker-content-digest': 'sha256:nonsense', 'content-type': TYPE, 'content-length': BODY.length }).end(request.method === 'HEAD' ? undefined : BODY);
  });
  assert.equal((await readRegistry(t, url).resolve('a', 'latest')).digest, digestOf(BODY));
});

test('a tag that is gone is not found', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => sendJson(response, {}, {}, 404));
  await assert.rejects(readRegistry(t, url).resolve('a', 'latest'), { code: 'not-found', message: /HEAD .*\/v2\/a\/manifests\/latest: answered 404/ });
});
