import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { playRegistry, readRegistry, sendJson, type Answer, type Played } from '../play-registry.ts';

const CREDENTIALS = { username: 'user', password: 'secret' };
const BASIC = `Basic ${btoa('user:secret')}`;

/** A registry that answers by the scheme of `Authorization`; `nobody` if there is none. */
async function playBySchemes(
  t: TestContext,
  answer: (scheme: string, ...args: Parameters<Answer>) => void,
): Promise<Played & { readonly schemes: readonly string[] }> {
  const schemes: string[] = [];
  const played = await playRegistry(t, (request, response) => {
    const scheme = request.headers.authorization?.split(' ')[0] ?? 'nobody';
    schemes.push(scheme);
    answer(scheme, request, response);
  });
  return { ...played, schemes };
}

/** A realm with one token for the right login and another for anonymous requests. */
function playRealm(t: TestContext, refusal?: number): Promise<Played> {
  return playRegistry(t, (request, response) => {
    const { authorization } = request.headers;
    if (authorization !== undefined && refusal !== undefined) sendJson(response, {}, {}, refusal);
    else sendJson(response, { token: authorization === BASIC ? 'for-user' : 'for-nobody' });
  });
}

suite('a login that the registry did not challenge for', () => {
  for (const status of [400, 401, 403, 404]) {
    test(`and rejects with ${status}, without a challenge, is sent after the challenge that follows`, async (t) => {
      const realm = await playRealm(t);
      const registry = await playBySchemes(t, (scheme, request, response) => {
        if (scheme === 'Basic') sendJson(response, {}, {}, status);
        else if (request.headers.authorization === 'Bearer for-user') sendJson(response, { tags: ['a'] });
        else sendJson(response, {}, { 'www-authenticate': `Bearer realm="${realm.url}/token"` }, 401);
      });
      const source = readRegistry(t, registry.url, { credentials: CREDENTIALS });
      for (const name of ['one', 'one', 'two']) assert.deepEqual(await source.tags(name), ['a']);
      assert.deepEqual(
        registry.schemes,
        ['Basic', 'nobody', 'Bearer', 'Bearer', 'Bearer'],
        'only the first request is asked again',
      );
    });

    test(`and rejects with ${status} although anonymous requests succeed, is not sent any more`, async (t) => {
      const registry = await playBySchemes(t, (scheme, _request, response) =>
        sendJson(response, scheme === 'nobody' ? { tags: ['a'] } : {}, {}, scheme === 'nobody' ? 200 : status),
      );
      const source = readRegistry(t, registry.url, { credentials: CREDENTIALS });
      for (const _ of [1, 2, 3]) assert.deepEqual(await source.tags('one'), ['a']);
      assert.deepEqual(registry.schemes, ['Basic', 'nobody', 'nobody', 'nobody']);
    });
  }

  test('does not keep a tag that is gone', async (t) => {
    const registry = await playBySchemes(t, (scheme, { url }, response) => {
      if (scheme === 'Basic') sendJson(response, {}, {}, 403);
      else if (url.includes('/tags/')) sendJson(response, { tags: ['a'] });
      else response.writeHead(404).end();
    });
    const source = readRegistry(t, registry.url, { credentials: CREDENTIALS });
    await source.tags('one');
    await assert.rejects(source.resolve('one', 'a'), { code: 'not-found' });
  });

  test('and answers with 404 after all: the 404 counts, and costs one request from then on', async (t) => {
    const registry = await playBySchemes(t, (scheme, _request, response) => {
      if (scheme === 'Basic') sendJson(response, {}, {}, 404);
      else sendJson(response, {}, { 'www-authenticate': 'Basic realm="x"' }, 401);
    });
    const source = readRegistry(t, registry.url, { credentials: CREDENTIALS });
    await assert.rejects(source.tags('one'), { code: 'not-found' });
    const before = registry.schemes.length;
    await assert.rejects(source.tags('one'), { code: 'not-found' });
    assert.deepEqual(registry.schemes.slice(before), ['Basic']);
  });

  test('and that has no access: a 404 for anonymous requests does not mean that it is gone', async (t) => {
    const registry = await playBySchemes(t, (scheme, _request, response) =>
      sendJson(response, {}, {}, scheme === 'Basic' ? 403 : 404),
    );
    await assert.rejects(readRegistry(t, registry.url, { credentials: CREDENTIALS }).tags('one'), {
      code: 'denied',
      message: /answered 403/,
    });
  });

  test('opens the catalog of a registry that challenges for tokens, but does not accept them for it', async (t) => {
    for (const refusal of ['registry', 'realm']) {
      const realm = await playRegistry(t, (request, response) =>
        sendJson(response, { token: 'abc' }, {}, refusal === 'realm' && request.url.includes('catalog') ? 403 : 200),
      );
      const registry = await playBySchemes(t, (scheme, { url }, response) => {
        const isCatalog = url.includes('_catalog');
        if (scheme === (isCatalog ? 'Basic' : 'Bearer'))
          sendJson(response, isCatalog ? { repositories: ['a'] } : { tags: ['a'] });
        else sendJson(response, {}, { 'www-authenticate': `Bearer realm="${realm.url}/token"` }, 401);
      });
      const source = readRegistry(t, registry.url, { credentials: CREDENTIALS });
      for (const _ of ['first', 'after the realm is known']) {
        assert.deepEqual(await Array.fromAsync(source.repositories()), [['a']], refusal);
        assert.deepEqual(await source.tags('a'), ['a']);
      }
    }
  });
});

suite('a login that is refused', () => {
  test('does not hide public repositories', async (t) => {
    for (const refusal of [401, 403]) {
      const realm = await playRealm(t, refusal);
      const registry = await playBySchemes(t, (_scheme, request, response) => {
        if (request.headers.authorization === 'Bearer for-nobody' && request.url.includes('/public/'))
          sendJson(response, { tags: ['a'] });
        else sendJson(response, {}, { 'www-authenticate': `Bearer realm="${realm.url}/token"` }, 401);
      });
      const source = readRegistry(t, registry.url, { credentials: CREDENTIALS });
      for (const _ of [1, 2]) assert.deepEqual(await source.tags('public'), ['a']);
      await assert.rejects(source.tags('private'), {
        code: 'denied',
        message: new RegExp(`${realm.url}/token: answered ${refusal}; `),
      });
    }
    const basic = await playBySchemes(t, (scheme, _request, response) =>
      scheme === 'nobody'
        ? sendJson(response, { tags: ['a'] })
        : sendJson(response, {}, { 'www-authenticate': 'Basic realm="x"' }, 401),
    );
    assert.deepEqual(await readRegistry(t, basic.url, { credentials: CREDENTIALS }).tags('public'), ['a']);
  });

  test('does not make a catalog shorter', async (t) => {
    const registry = await playBySchemes(t, (scheme, _request, response) =>
      scheme === 'nobody'
        ? sendJson(response, { repositories: ['public'] })
        : sendJson(response, {}, { 'www-authenticate': 'Basic realm="x"' }, 401),
    );
    await assert.rejects(Array.fromAsync(readRegistry(t, registry.url, { credentials: CREDENTIALS }).repositories()), {
      code: 'no-catalog',
      message: /the login is refused/,
    });
  });
});
