import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request } from 'undici';
import { RequestCounts } from '../../../../src/registry/http/transport/request-counts.ts';
import { playRegistry } from '../play-registry.ts';

test('requests are counted by registry and status, those that lead elsewhere apart', async (t) => {
  const answer = (status: number) => playRegistry(t, (_request, response) => void response.writeHead(status).end());
  const [registry, elsewhere] = await Promise.all([answer(200), answer(404)]);
  using counts = new RequestCounts([`${registry.url}/sub/path`, 'oci:/somewhere', 'http://127.0.0.1:9']);
  for (const url of [registry.url, `${registry.url}/v2/`, elsewhere.url]) await (await request(url)).body.dump();
  await assert.rejects(request('http://127.0.0.1:9/v2/'));
  assert.deepEqual(counts.take(), [
    { registry: `${registry.url}/sub/path`, status: '200', count: 2 },
    { registry: 'other', status: '404', count: 1 },
    { registry: 'http://127.0.0.1:9', status: 'error', count: 1 },
  ]);
  assert.deepEqual(counts.take(), []);
});

test('an answer that is given up half-way is counted once', async (t) => {
  const registry = await playRegistry(t, (_request, response) => void response.writeHead(200, { 'content-length': 100 }).write('half'));
  using counts = new RequestCounts([registry.url]);
  const gone = new AbortController();
  const { body } = await request(registry.url, { signal: gone.signal });
  gone.abort();
  await assert.rejects(body.text(), { name: 'AbortError' });
  assert.deepEqual(counts.take(), [{ registry: registry.url, status: '200', count: 1 }]);
});
