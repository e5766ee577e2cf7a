import assert from 'node:assert/strict';
import test from 'node:test';
import { playRegistry, readRegistry, sendJson } from '../play-registry.ts';

test('links that lead in a loop are named', async (t) => {
  const { url, seen } = await playRegistry(t, (request, response) => {
    const next = request.url.includes('last=b') ? 'a' : 'b';
    sendJson(response, { tags: [next] }, { link: `</v2/a/tags/list?last=${next}>; rel="next"` });
  });
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'malformed', message: /in a loop/ });
  assert.equal(seen.length, 3);
});

test('a link to another origin is refused', async (t) => {
  const elsewhere = await playRegistry(t, (_request, response) => sendJson(response, { tags: ['evil'] }));
  const { url } = await playRegistry(t, (_request, response) => sendJson(response, { tags: ['a'] }, { link: `<${elsewhere.url}/v2/a/tags/list>; rel="next"` }));
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'malformed', message: /next page/ });
  assert.deepEqual(elsewhere.seen, []);
});

test('a million entries are the most', async (t) => {
  const body = JSON.stringify({ tags: Array(100_000).fill(0) });
  let page = 0;
  const { url } = await playRegistry(t, (_request, response) => {
    response.writeHead(200, { link: `</v2/a/tags/list?page=${++page}>; rel="next"` }).end(body);
  });
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'too-large', message: /1000000 tags/ });
  assert.equal(page, 11);
});

test('a million entries in one page are read', async (t) => {
  const body = JSON.stringify({ tags: ['latest', ...Array(999_999).fill(0)] });
  const { url } = await playRegistry(t, (_request, response) => response.end(body));
  assert.deepEqual(await readRegistry(t, url).tags('a'), ['latest']);
});
