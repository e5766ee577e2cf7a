import assert from 'node:assert/strict';
import test from 'node:test';
import { allPages, playRegistry, readRegistry, sendJson } from './play-registry.ts';

test('the catalog is read page by page by its links, in the registry’s order', async (t) => {
  const { url, seen } = await playRegistry(t, (request, response) => {
    if (request.url === '/v2/_catalog?n=1000')
      sendJson(response, { repositories: ['b', 'a/c'] }, { link: '</v2/_catalog?last=a%2Fc&n=1000>; rel="next"' });
    else if (request.url.endsWith('last=a%2Fc&n=1000'))
      sendJson(
        response,
        { repositories: ['d'] },
        { link: `<http://${request.headers.host}/v2/_catalog?last=d>; rel="next"` },
      );
    else sendJson(response, { repositories: null });
  });
  const source = readRegistry(t, url);
  assert.deepEqual(await allPages(source.repositories()), [['b', 'a/c'], ['d'], []]);
  assert.deepEqual(seen, ['GET /v2/_catalog?n=1000', 'GET /v2/_catalog?last=a%2Fc&n=1000', 'GET /v2/_catalog?last=d']);
  assert.equal(source.requests, 3);
});

test('invalid names are skipped', async (t) => {
  const { url } = await playRegistry(t, (_request, response) =>
    sendJson(response, { repositories: ['good', 'Bad', '../etc', 'a//b', 7, null, 'x'.repeat(256)] }),
  );
  assert.deepEqual(await allPages(readRegistry(t, url).repositories()), [['good']]);
});

test('a path in the URL comes before the API', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) => sendJson(response, { repositories: ['a'] }));
  const source = readRegistry(t, `${url}/some/prefix/`);
  assert.equal(source.id, `${url}/some/prefix`);
  assert.deepEqual(await allPages(source.repositories()), [['a']]);
  assert.deepEqual(seen, ['GET /some/prefix/v2/_catalog?n=1000']);
});

for (const status of [401, 403, 404, 405]) {
  test(`a registry that answers ${status} for its catalog has none, and the error says what to set`, async (t) => {
    const { url } = await playRegistry(t, (_request, response) =>
      sendJson(response, { errors: [{ code: 'UNAUTHORIZED', message: 'not\u0007for you' }] }, {}, status),
    );
    await assert.rejects(allPages(readRegistry(t, url).repositories()), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'no-catalog');
      assert.match(
        error.message,
        new RegExp(`GET ${url}/v2/_catalog: answered ${status} \\(UNAUTHORIZED: not for you\\)`),
      );
      assert.ok(
        error.message.includes(
          `name them in registries."${url}".repositories, set registries."${url}".listing, or log in as a user who may list them`,
        ),
        error.message,
      );
      return true;
    });
  });
}

test('a refused login does not lead to the advice to name repositories', async (t) => {
  const { url } = await playRegistry(t, (_request, response) =>
    sendJson(response, {}, { 'www-authenticate': 'Basic realm="registry"' }, 401),
  );
  const advice = (options: object) =>
    allPages(readRegistry(t, url, options).repositories()).then(String, ({ message }: Error) =>
      message.replace(/^.*?; /, ''),
    );
  assert.equal(
    await advice({ credentials: { username: 'user', password: 'wrong' } }),
    `the login is refused: check registries."${url}".username and password, or log in again with the tool that stores them`,
  );
  assert.match(await advice({}), /^the registry does not list its repositories/);
});

test('a 404 for a later page does not mean that there is no catalog', async (t) => {
  const { url } = await playRegistry(t, (request, response) => {
    if (request.url.includes('last')) sendJson(response, {}, {}, 404);
    else sendJson(response, { repositories: ['a'] }, { link: '</v2/_catalog?last=a>; rel="next"' });
  });
  await assert.rejects(allPages(readRegistry(t, url).repositories()), { code: 'malformed' });
});

test('configured names need no catalog', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) => response.destroy());
  assert.deepEqual(await allPages(readRegistry(t, url, { repositories: ['b', 'a/x', 'b'] }).repositories()), [
    ['b', 'a/x'],
  ]);
  assert.deepEqual(seen, []);
});

test('configured globs choose from the catalog, beside names', async (t) => {
  const { url } = await playRegistry(t, (_request, response) =>
    sendJson(response, { repositories: ['apps/one', 'apps/deep/two', 'other', 'apps/named'] }),
  );
  const source = readRegistry(t, url, { repositories: ['apps/*', 'apps/named', 'unlisted'] });
  assert.deepEqual(await allPages(source.repositories()), [['apps/named', 'unlisted'], ['apps/one']]);
  assert.deepEqual(
    ['apps/one', 'apps/named', 'unlisted', 'apps/deep/two', 'other'].map((name) => source.covers(name)),
    [true, true, true, false, false],
  );
});

test('a source without configured names covers all repositories', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => response.destroy());
  assert.ok(readRegistry(t, url).covers('anything/at-all'));
});
