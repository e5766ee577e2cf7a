import assert from 'node:assert/strict';
import test from 'node:test';
import { playRegistry, readRegistry, sendJson } from './play-registry.ts';

test('tags of all pages come sorted, each once', async (t) => {
  const { url, seen } = await playRegistry(t, (request, response) => {
    if (request.url.includes('last')) sendJson(response, { name: 'a/b', tags: ['Z', 'stable'] });
    else
      sendJson(
        response,
        { name: 'a/b', tags: ['stable', 'latest', '_x', '1.0'] },
        { link: '<list?last=x>; rel="next"' },
      );
  });
  assert.deepEqual(await readRegistry(t, url).tags('a/b'), ['1.0', 'Z', '_x', 'latest', 'stable']);
  assert.deepEqual(seen, ['GET /v2/a/b/tags/list?n=1000', 'GET /v2/a/b/tags/list?last=x']);
});

test('no tags may be null', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => sendJson(response, { name: 'a', tags: null }));
  assert.deepEqual(await readRegistry(t, url).tags('a'), []);
});

test('invalid tags are skipped', async (t) => {
  const { url } = await playRegistry(t, (_request, response) =>
    sendJson(response, { tags: ['good', '-bad', 'a/b', '', {}, 'x'.repeat(129)] }),
  );
  assert.deepEqual(await readRegistry(t, url).tags('a'), ['good']);
});

test('an unknown repository is not found', async (t) => {
  const { url } = await playRegistry(t, (_request, response) =>
    sendJson(
      response,
      { errors: [{ code: 'NAME_UNKNOWN', message: 'repository name not known to registry' }] },
      {},
      404,
    ),
  );
  await assert.rejects(readRegistry(t, url).tags('a/b'), {
    code: 'not-found',
    message: /\/v2\/a\/b\/tags\/list: answered 404 \(NAME_UNKNOWN/,
  });
});

test('a page that is not found later on does not mean that the repository is gone', async (t) => {
  const { url } = await playRegistry(t, (request, response) => {
    if (request.url.includes('last')) sendJson(response, {}, {}, 404);
    else sendJson(response, { tags: ['a'] }, { link: '</v2/a/tags/list?last=a>; rel="next"' });
  });
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'malformed' });
});

for (const status of [401, 403]) {
  test(`${status} is denied`, async (t) => {
    const { url } = await playRegistry(t, (_request, response) => sendJson(response, {}, {}, status));
    await assert.rejects(readRegistry(t, url).tags('a'), { code: 'denied', message: /registries\."http.*"\.username/ });
  });
}

test('other statuses and other shapes are malformed', async (t) => {
  const answers: [number, string][] = [
    [200, 'nonsense'],
    [200, '[]'],
    [200, '{"tags":{}}'],
    [200, '{"tags":"a"}'],
    [204, ''],
    [400, '{}'],
    [302, ''],
  ];
  let next = 0;
  const { url } = await playRegistry(t, (_request, response) => {
    const [status, body] = answers[next] ?? [500, ''];
    response.writeHead(status).end(body);
  });
  const source = readRegistry(t, url);
  for (; next < answers.length; next++)
    await assert.rejects(source.tags('a'), { code: 'malformed' }, String(answers[next]));
});

test('an invalid name is not requested', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) => sendJson(response, {}));
  const source = readRegistry(t, url);
  for (const name of ['', 'A', '../a', 'a/../b', 'a?b', 'a b'])
    await assert.rejects(source.tags(name), { code: 'not-found' });
  for (const reference of ['', 'a/b', '../x', 'sha256:short'])
    await assert.rejects(source.manifest('a', reference), { code: 'not-found' });
  assert.deepEqual(seen, []);
});
