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

test('a repository with more than 100000 tags is named, in one page or in many', async (t) => {
  let page = 0;
  const { url } = await playRegistry(t, (request, response) => {
    if (request.url.includes('/one/')) response.end(JSON.stringify({ tags: Array(1_000_000).fill('latest') }));
    else response.writeHead(200, { link: `</v2/many/tags/list?page=${++page}>; rel="next"` }).end(JSON.stringify({ tags: Array(10_000).fill(0) }));
  });
  const source = readRegistry(t, url);
  await assert.rejects(source.tags('one'), { code: 'too-large', message: /\/v2\/one\/tags\/list: lists more than 100000 tags/ });
  await assert.rejects(source.tags('many'), { code: 'too-large', message: /\/v2\/many\/tags\/list: lists more than 100000 tags/ });
  assert.equal(page, 11);
});

test('100000 tags are read', async (t) => {
  const body = JSON.stringify({ tags: ['latest', ...Array(99_999).fill(0)] });
  const { url } = await playRegistry(t, (_request, response) => response.end(body));
  assert.deepEqual(await readRegistry(t, url).tags('a'), ['latest']);
});

test('a page that is too long to be one is named, long before it has come to its end', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => {
    response.write('{"tags": ["');
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 'x')));
      response.once('drain', more);
    };
    more();
  });
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'too-large', message: /larger than 16777216 bytes/ });
});
