import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { UpstreamRegistry } from '../../../../src/registry/http/upstream-registry.ts';
import { RequestCounts } from '../../../../src/registry/http/transport/request-counts.ts';
import { describeSent, type SentRequest } from '../../../../src/registry/http/transport/sent-request.ts';
import { named, startForwardProxy } from '../forward-proxy.ts';
import { playRegistry, readRegistry, sendJson } from '../play-registry.ts';

const DIGEST = `sha256:${'0'.repeat(64)}` as const;

/** Records reported requests as text and counts. */
function listener(): { onRequest: (request: SentRequest) => void; told: SentRequest[]; counts: RequestCounts } {
  const [told, counts]: [SentRequest[], RequestCounts] = [[], new RequestCounts()];
  const onRequest = (request: SentRequest): void => {
    told.push(request);
    counts.count(request);
  };
  return { onRequest, told, counts };
}

/** Ignores the result of a request. */
function ended(t: TestContext): { promise: Promise<void>; resolve: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  t.after(() => resolve());
  return { promise, resolve };
}

test('each request is told of once with its outcome, without its query', async (t) => {
  const elsewhere = await playRegistry(t, (_request, response) => sendJson(response, { tags: ['a'] }));
  const registry = await playRegistry(t, ({ url }, response) => {
    if (url.startsWith('/v2/broken')) response.destroy();
    else if (url.startsWith('/v2/moved'))
      response.writeHead(307, { location: `${elsewhere.url}/tags?signature=secret` }).end();
    else response.writeHead(404).end();
  });
  const { onRequest, told, counts } = listener();
  const source = readRegistry(t, `${registry.url}/`, { pauses: [], onRequest });
  await assert.rejects(source.tags('missing'), { code: 'not-found' });
  await assert.rejects(source.tags('broken'), { code: 'unavailable' });
  assert.deepEqual(await source.tags('moved'), ['a']);
  assert.deepEqual(told.map(describeSent), [
    `GET ${registry.url}/v2/missing/tags/list: 404`,
    `GET ${registry.url}/v2/broken/tags/list: other side closed`,
    `GET ${registry.url}/v2/moved/tags/list: 307`,
    `GET ${elsewhere.url}/tags: 200`,
  ]);
  assert.ok(told.every(({ seconds }) => seconds >= 0 && seconds < 60));
  assert.deepEqual(counts.take(), [
    { registry: registry.url, status: '404', count: 1 },
    { registry: registry.url, status: 'error', count: 1 },
    { registry: registry.url, status: '307', count: 1 },
    { registry: 'other', status: '200', count: 1 },
  ]);
  assert.deepEqual(counts.take(), []);
});

test('what is asked through a proxy is told by where it goes', async (t) => {
  const proxy = await startForwardProxy(t);
  const url = named((await playRegistry(t, (_request, response) => sendJson(response, { tags: ['a'] }))).url);
  const { onRequest, told, counts } = listener();
  await readRegistry(t, url, { proxies: { http: proxy.url }, onRequest }).tags('a');
  assert.deepEqual(told.map(describeSent), [`GET ${url}/v2/a/tags/list: 200`]);
  assert.deepEqual(counts.take(), [{ registry: url, status: '200', count: 1 }]);
});

test('what is given up before an answer, or half-way, is told once', async (t) => {
  const asked = ended(t);
  const registry = await playRegistry(t, ({ url }, response) => {
    if (url.includes('/blobs/')) response.writeHead(200, { 'content-length': 100 }).write('half');
    else asked.resolve();
  });
  const { onRequest, counts } = listener();
  const gone = new AbortController();
  const tags = readRegistry(t, registry.url, { pauses: [], onRequest }).tags('a', gone.signal);
  await asked.promise;
  gone.abort();
  await assert.rejects(tags, { name: 'AbortError' });
  assert.deepEqual(counts.take(), [{ registry: registry.url, status: 'error', count: 1 }]);

  const upstream = new UpstreamRegistry({
    url: registry.url,
    concurrency: 1,
    timeout: 5000,
    passRedirects: false,
    onRequest,
  });
  t.after(() => upstream.close());
  const { stream } = await upstream.open({
    method: 'GET',
    repository: 'a',
    kind: 'blobs',
    reference: DIGEST,
    conditions: {},
    signal: new AbortController().signal,
  });
  stream?.on('error', () => undefined).destroy();
  assert.deepEqual(counts.take(), [{ registry: registry.url, status: '200', count: 1 }]);
});
