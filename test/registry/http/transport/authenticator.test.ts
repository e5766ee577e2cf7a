import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { suite, test, type TestContext } from 'node:test';
import { playRegistry, readRegistry, sendJson, type Answer, type Played } from '../play-registry.ts';

const CREDENTIALS = { username: 'user', password: 'p:ä' };
const BASIC = `Basic ${Buffer.from('user:p:ä').toString('base64')}`;

/** A token service, and a registry that needs its tokens. `token` makes the answers of the service. */
async function playWithTokens(
  t: TestContext,
  token: Answer,
  wanted: () => string,
): Promise<{ registry: Played; realm: Played }> {
  const realm = await playRegistry(t, token);
  const registry = await playRegistry(t, (request, response) => {
    if (request.headers.authorization === `Bearer ${wanted()}`)
      sendJson(response, { tags: ['a'], repositories: ['a'] });
    else {
      const repository = /^\/v2\/(.*)\/tags/.exec(request.url)?.[1];
      const scope = repository === undefined ? 'registry:catalog:*' : `repository:${repository}:pull`;
      sendJson(
        response,
        {},
        { 'www-authenticate': `Bearer realm="${realm.url}/token?kept=1",service="the registry",scope="${scope}"` },
        401,
      );
    }
  });
  return { registry, realm };
}

function queryOf(request: IncomingMessage): Record<string, string> {
  return Object.fromEntries(new URL(request.url ?? '', 'http://realm').searchParams);
}

test('Basic credentials are sent with the first request', async (t) => {
  const { url, seen } = await playRegistry(t, (request, response) =>
    sendJson(response, { tags: ['a'] }, {}, request.headers.authorization === BASIC ? 200 : 401),
  );
  assert.deepEqual(await readRegistry(t, url, { credentials: CREDENTIALS }).tags('a'), ['a']);
  assert.equal(seen.length, 1);
});

test('wrong Basic credentials are denied, and are not in the message', async (t) => {
  const shown: (string | undefined)[] = [];
  const { url } = await playRegistry(t, (request, response) => {
    shown.push(request.headers.authorization);
    sendJson(response, {}, { 'www-authenticate': 'Basic realm="x"' }, 401);
  });
  await assert.rejects(
    readRegistry(t, url, { credentials: CREDENTIALS }).tags('a'),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'denied');
      assert.match(error.message, /the login is refused/);
      assert.ok(!error.message.includes('p:ä') && !error.message.includes(BASIC));
      return true;
    },
  );
  assert.deepEqual(shown, [BASIC, undefined]);
});

for (const member of ['token', 'access_token']) {
  test(`a challenge for a Bearer token is answered with the realm's ${member}, once for each scope`, async (t) => {
    const asked: object[] = [];
    const { registry, realm } = await playWithTokens(
      t,
      (request, response) => {
        asked.push({ ...queryOf(request), authorization: request.headers.authorization });
        sendJson(response, { [member]: 'abc', expires_in: 300 });
      },
      () => 'abc',
    );
    const source = readRegistry(t, registry.url);
    for (const repository of ['one', 'one', 'two']) assert.deepEqual(await source.tags(repository), ['a']);
    const common = { kept: '1', service: 'the registry', authorization: undefined };
    assert.deepEqual(asked, [
      { ...common, scope: 'repository:one:pull' },
      { ...common, scope: 'repository:two:pull' },
    ]);
    // Only the first request was challenged.
    assert.equal(registry.seen.length, 4);
    assert.equal(realm.seen.length, 2);
    assert.equal(source.requests, 6);
  });
}

test('the catalog has a scope of its own', async (t) => {
  const asked: object[] = [];
  const { registry } = await playWithTokens(
    t,
    (request, response) => {
      asked.push(queryOf(request));
      sendJson(response, { token: 'abc' });
    },
    () => 'abc',
  );
  assert.deepEqual(await Array.fromAsync(readRegistry(t, registry.url).repositories()), [['a']]);
  assert.deepEqual(asked, [{ kept: '1', service: 'the registry', scope: 'registry:catalog:*' }]);
});

test('credentials are shown to the realm, and the token to the registry', async (t) => {
  const shown: (string | undefined)[] = [];
  const { registry } = await playWithTokens(
    t,
    (request, response) => {
      shown.push(request.headers.authorization);
      sendJson(response, { token: 'abc' });
    },
    () => 'abc',
  );
  assert.deepEqual(await readRegistry(t, registry.url, { credentials: CREDENTIALS }).tags('one'), ['a']);
  assert.deepEqual(shown, [BASIC]);
});

test('requests that wait for the same token cost one request for it', async (t) => {
  const { registry, realm } = await playWithTokens(
    t,
    (_request, response) => sendJson(response, { token: 'abc' }),
    () => 'abc',
  );
  const source = readRegistry(t, registry.url);
  const results = await Promise.all(Array.from({ length: 20 }, () => source.tags('one')));
  assert.ok(results.every((tags) => tags[0] === 'a'));
  assert.equal(realm.seen.length, 1);
});

test('a token is renewed shortly before it expires', async (t) => {
  const { registry, realm } = await playWithTokens(
    t,
    (_request, response) => sendJson(response, { token: 'abc', expires_in: 0.2 }),
    () => 'abc',
  );
  const source = readRegistry(t, registry.url);
  await source.tags('one');
  const started = performance.now();
  while (realm.seen.length === 1) {
    assert.ok(performance.now() - started < 5000, 'the token was not renewed');
    await source.tags('one');
  }
  // Renewed by the clock: this registry still accepts the old token.
  assert.ok(performance.now() - started > 100);
});

test('a token that the registry no longer takes is renewed once', async (t) => {
  let current = 'first';
  const { registry, realm } = await playWithTokens(
    t,
    (_request, response) => sendJson(response, { token: current }),
    () => current,
  );
  const source = readRegistry(t, registry.url);
  await source.tags('one');
  current = 'second';
  assert.deepEqual(await source.tags('one'), ['a']);
  assert.equal(realm.seen.length, 2);
});

test('a token that is refused gives denied', async (t) => {
  const { registry, realm } = await playWithTokens(
    t,
    (_request, response) => sendJson(response, { token: 'useless' }),
    () => 'other',
  );
  await assert.rejects(readRegistry(t, registry.url).tags('one'), {
    code: 'denied',
    message: /tags\/list: answered 401/,
  });
  assert.equal(registry.seen.length, 2);
  assert.equal(realm.seen.length, 1);
});

test('a refusal of the realm gives denied, and never means that the repository is gone', async (t) => {
  for (const status of [400, 401, 403, 404]) {
    const { registry, realm } = await playWithTokens(
      t,
      (_request, response) => sendJson(response, {}, {}, status),
      () => 'other',
    );
    await assert.rejects(readRegistry(t, registry.url).tags('one'), {
      code: 'denied',
      message: `GET ${realm.url}/token: answered ${status}; it may need registries."${registry.url}".username and password, or a different login`,
    });
  }
});

suite('whether a repository is public', () => {
  test('is known once it was read, with a token or without', async (t) => {
    for (const credentials of [undefined, CREDENTIALS]) {
      const { registry } = await playWithTokens(
        t,
        (_request, response) => sendJson(response, { token: 'abc' }),
        () => 'abc',
      );
      const source = readRegistry(t, registry.url, credentials && { credentials });
      assert.equal(source.isPublic('one'), false);
      await source.tags('one');
      assert.deepEqual([source.isPublic('one'), source.isPublic('two')], [credentials === undefined, false]);
    }
  });

  test('is not decided by a refusal', async (t) => {
    let isThere = true;
    const { registry } = await playWithTokens(
      t,
      (_request, response) => sendJson(response, { token: 'abc' }, {}, isThere ? 200 : 403),
      // Later the token that it has is of no use, and the realm refuses another one.
      () => (isThere ? 'abc' : 'other'),
    );
    const source = readRegistry(t, registry.url);
    await source.tags('one');
    isThere = false;
    await assert.rejects(source.tags('one'), { code: 'denied' });
    assert.equal(source.isPublic('one'), true);
  });

  test('is true where the login is refused, and false again where only it is answered', async (t) => {
    let isOpen = true;
    const registry = await playRegistry(t, ({ headers: { authorization } }, response) => {
      if (isOpen === (authorization === undefined)) sendJson(response, { tags: ['a'] });
      else sendJson(response, {}, { 'www-authenticate': 'Basic realm="x"' }, 401);
    });
    const source = readRegistry(t, registry.url, { credentials: CREDENTIALS });
    for (const now of [true, false, true]) {
      isOpen = now;
      assert.deepEqual(await source.tags('one'), ['a']);
      assert.equal(source.isPublic('one'), now);
    }
  });
});

test('a temporary failure of the realm is retried', async (t) => {
  const { registry, realm } = await playWithTokens(
    t,
    (_request, response) => sendJson(response, { token: 'abc' }, {}, realm.seen.length === 1 ? 503 : 200),
    () => 'abc',
  );
  assert.deepEqual(await readRegistry(t, registry.url).tags('one'), ['a']);
});

test('a failed request for a token is not kept', async (t) => {
  const { registry, realm } = await playWithTokens(
    t,
    (_request, response) => sendJson(response, { token: 'abc' }, {}, realm.seen.length === 1 ? 400 : 200),
    () => 'abc',
  );
  const source = readRegistry(t, registry.url);
  await assert.rejects(source.tags('one'), { code: 'denied' });
  assert.deepEqual(await source.tags('one'), ['a']);
});

test('an invalid token is malformed, and is not in the message', async (t) => {
  for (const body of [{}, { token: 7 }, { token: 'secret\r\nx: y' }, { token: '' }, []]) {
    const { registry } = await playWithTokens(
      t,
      (_request, response) => sendJson(response, body),
      () => 'abc',
    );
    await assert.rejects(readRegistry(t, registry.url).tags('one'), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'malformed');
      assert.ok(!error.message.includes('secret'));
      return true;
    });
  }
});

test('a challenge without a usable realm is malformed', async (t) => {
  for (const challenge of ['Bearer', 'Bearer realm="nowhere"', 'Bearer realm="file:///etc/passwd"']) {
    const { url } = await playRegistry(t, (_request, response) =>
      sendJson(response, {}, { 'www-authenticate': challenge }, 401),
    );
    await assert.rejects(readRegistry(t, url).tags('one'), { code: 'malformed', message: /realm/ });
  }
});

test('an abort ends the wait for a token that others go on waiting for', async (t) => {
  const aborting = new AbortController();
  const { registry, realm } = await playWithTokens(
    t,
    (_request, response) => {
      aborting.abort(new Error('enough'));
      setImmediate(() => sendJson(response, { token: 'abc' }));
    },
    () => 'abc',
  );
  const source = readRegistry(t, registry.url);
  const [given, kept] = [source.tags('one', aborting.signal), source.tags('one')];
  await assert.rejects(given, /enough/);
  assert.deepEqual(await kept, ['a']);
  assert.equal(realm.seen.length, 1);
});
