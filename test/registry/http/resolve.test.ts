import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { digestOf } from '../../../src/registry/digest.ts';
import { playRegistry, readRegistry, sendJson, type Played } from './play-registry.ts';

const TYPE = 'application/vnd.oci.image.index.v1+json';
const BODY = JSON.stringify({ schemaVersion: 2, mediaType: TYPE, manifests: [] });

test('a tag is resolved by one HEAD that accepts every manifest type', async (t) => {
  let accept = '';
  const { url, seen } = await playRegistry(t, (request, response) => {
    accept = request.headers.accept ?? '';
    response
      .writeHead(200, {
        'content-type': `${TYPE}; charset=utf-8`,
        'content-length': 480,
        'docker-content-digest': digestOf('x'),
      })
      .end();
  });
  assert.deepEqual(await readRegistry(t, url).resolve('a', 'latest'), {
    mediaType: TYPE,
    digest: digestOf('x'),
    size: 480,
  });
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
    response
      .writeHead(200, { 'content-type': TYPE, 'content-length': 480, 'docker-content-digest': digestOf('x') })
      .end();
  });
  const source = readRegistry(t, url, { concurrency: 1 });
  for (let number = 0; number < 5; number++) await source.resolve('a', 'latest');
  assert.equal(connections(), 1);
});

for (const missing of ['docker-content-digest', 'content-type', 'content-length']) {
  test(`without ${missing} the manifest itself is read`, async (t) => {
    const { url, seen } = await playRegistry(t, (request, response) => {
      const headers: Record<string, string> = {
        'docker-content-digest': digestOf(BODY),
        'content-type': TYPE,
        'content-length': String(BODY.length),
      };
      if (request.method === 'HEAD') delete headers[missing];
      response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : BODY);
    });
    assert.deepEqual(await readRegistry(t, url).resolve('a', 'latest'), {
      mediaType: TYPE,
      digest: digestOf(BODY),
      size: BODY.length,
    });
    assert.deepEqual(seen, ['HEAD /v2/a/manifests/latest', 'GET /v2/a/manifests/latest']);
  });
}

test('an invalid digest counts as missing', async (t) => {
  const { url } = await playRegistry(t, (request, response) => {
    response
      .writeHead(200, {
        'docker-content-digest': 'sha256:nonsense',
        'content-type': TYPE,
        'content-length': BODY.length,
      })
      .end(request.method === 'HEAD' ? undefined : BODY);
  });
  assert.equal((await readRegistry(t, url).resolve('a', 'latest')).digest, digestOf(BODY));
});

/** A registry that has the tag `latest` in each repository but `gone`, and answers HEAD with `refusal`. */
function refuseHeads(t: TestContext, refusal: number): Promise<Played> {
  return playRegistry(t, ({ method, url }, response) => {
    if (method === 'HEAD') response.writeHead(refusal).end();
    else if (url.includes('/gone/')) sendJson(response, {}, {}, 404);
    else
      response
        .writeHead(200, {
          'docker-content-digest': digestOf(BODY),
          'content-type': TYPE,
          'content-length': BODY.length,
        })
        .end(BODY);
  });
}

for (const status of [400, 401, 403, 404, 405, 500, 501]) {
  test(`if HEAD is refused with ${status}, GET is used, also for the next requests`, async (t) => {
    const { url, seen } = await refuseHeads(t, status);
    const source = readRegistry(t, url, { pauses: [] });
    for (const repository of ['a', 'b'])
      assert.deepEqual(await source.resolve(repository, 'latest'), {
        mediaType: TYPE,
        digest: digestOf(BODY),
        size: BODY.length,
      });
    assert.deepEqual(seen, ['HEAD /v2/a/manifests/latest', 'GET /v2/a/manifests/latest', 'GET /v2/b/manifests/latest']);
    await assert.rejects(source.resolve('gone', 'latest'), {
      code: 'not-found',
      message: /GET .*\/v2\/gone\/manifests\/latest: answered 404/,
    });
  });
}

test('HEAD is tried again after a while', async (t) => {
  const { url, seen } = await refuseHeads(t, 404);
  const source = readRegistry(t, url);
  const now = performance.now.bind(performance);
  await source.resolve('a', 'latest');
  t.mock.method(performance, 'now', () => now() + 3_600_000);
  await source.resolve('a', 'latest');
  assert.deepEqual(
    seen.map((request) => request.split(' ')[0]),
    ['HEAD', 'GET', 'HEAD', 'GET'],
  );
});

for (const status of [429, 502, 503, 504]) {
  test(`${status} for a HEAD is not a refusal`, async (t) => {
    const { url, seen } = await refuseHeads(t, status);
    await assert.rejects(readRegistry(t, url, { pauses: [] }).resolve('a', 'latest'), { code: 'unavailable' });
    assert.deepEqual(seen, ['HEAD /v2/a/manifests/latest']);
  });
}

test('a challenge for a HEAD is not a refusal', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) =>
    response.writeHead(401, { 'www-authenticate': 'Basic realm="registry"' }).end(),
  );
  await assert.rejects(readRegistry(t, url).resolve('a', 'latest'), { code: 'denied' });
  assert.deepEqual(seen, ['HEAD /v2/a/manifests/latest']);
});

test('a tag that is gone is not found once GET says so, and costs the other tags no GET', async (t) => {
  const { url, seen } = await playRegistry(t, (request, response) => {
    if (request.url.includes('/gone')) sendJson(response, {}, {}, 404);
    else
      response
        .writeHead(200, { 'content-type': TYPE, 'content-length': 480, 'docker-content-digest': digestOf('x') })
        .end();
  });
  const source = readRegistry(t, url);
  await assert.rejects(source.resolve('a', 'gone'), {
    code: 'not-found',
    message: /GET .*\/v2\/a\/manifests\/gone: answered 404/,
  });
  await source.resolve('a', 'latest');
  assert.deepEqual(seen, ['HEAD /v2/a/manifests/gone', 'GET /v2/a/manifests/gone', 'HEAD /v2/a/manifests/latest']);
});
