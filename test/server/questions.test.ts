import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { named, TestState } from '../indexing/test-state.ts';
import { TestServer, type TestServerOptions } from './test-server.ts';

/** Labels with a text too long for columns: only the body of a chunk tells whether it matches. */
function told(name: string, labels: Readonly<Record<string, string>> = {}): { labels: Record<string, string> } {
  return named(name, { text: `${name} ${'-'.repeat(40)}`, ...labels });
}

/** Returns a question for images with the labels of {@link told}. */
function telling(name: string): string {
  return `label:text:matches=${name}%20*`;
}

/** Creates a server that caches no segments: each look into a chunk is a read, which is counted and can be held. */
async function serve(
  t: TestContext,
  questions: NonNullable<TestServerOptions['questions']> = {},
  names: readonly string[] = ['clock', 'hello', 'notes'],
): Promise<{ state: TestState; server: TestServer; reads: () => number; readonly hold: () => () => void }> {
  const state = await TestState.open(t);
  for (const name of names)
    state.registry.pushImage(
      `apps/${name}`,
      'latest',
      told(name, { 'org.flatpak.ref': `app/org.example.${name}/x86_64/stable` }),
    );
  let count = 0;
  let held: Promise<void> = Promise.resolve();
  const server = await TestServer.create(t, state, {
    questions,
    maxBodyBytes: 1,
    readBody: async (read) => {
      count++;
      await held;
      return read();
    },
  });
  await server.rebuild();
  /** Returns the number of reads since the last call. */
  const reads = (): number => {
    const so = count;
    count = 0;
    return so;
  };
  const hold = (): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    held = promise;
    return resolve;
  };
  return { state, server, reads, hold };
}

function repositories(index: string): string[] {
  return (JSON.parse(index) as { Results: { Name: string }[] }).Results.map(({ Name }) => Name);
}

test('answers are cached', async (t) => {
  const { state, server, reads, hold } = await serve(t);
  assert.equal((await state.shown()).chunks.length, 1);
  const get = (url: string, encoding = 'identity') =>
    server.fastify.inject({ url, headers: { 'accept-encoding': encoding } });

  await t.test('order and spelling of a question do not matter', async () => {
    const first = await get('/index/static?repository=apps/hello&os=linux&label:name:exists=1&tag=latest&tag=none');
    assert.notEqual(reads(), 0);
    assert.deepEqual(repositories(first.payload), ['apps/hello']);
    for (const query of [
      'tag=none&tag=latest&label%3Aname%3Aexists=1&os=linux&repository=apps%2fhello',
      'os=linux&os=linux&&tag=latest&tag=none&repository=apps/hello&label:name:exists=1',
    ]) {
      const again = await get(`/index/static?${query}`);
      assert.deepEqual([again.payload, again.headers.etag], [first.payload, first.headers.etag]);
    }
    assert.equal(
      (await get('/apps/index/static?label:name:exists=1&tag=latest&tag=none&repository=apps/hello&os=linux')).headers
        .etag,
      first.headers.etag,
    );
    assert.equal(reads(), 0);
  });

  await t.test('answers to Flatpak are ready in advance', async () => {
    const { hits, misses } = server.queries;
    assert.equal(
      (await get('/index/static?tag=latest&os=linux&architecture=amd64&label:org.flatpak.ref:exists=1')).statusCode,
      200,
    );
    assert.deepEqual(server.queries, { hits, misses });
  });

  await t.test('doubled slashes count as one', async () => {
    const { payload } = await get('/apps/index/static?tag=latest');
    for (const url of [
      '//apps/index/static?tag=latest',
      '/apps//index/static?tag=latest',
      '///apps//index//static?tag=latest',
    ])
      assert.equal((await get(url)).payload, payload, url);
    assert.equal(
      (await get('//index/static?repository=apps//hello')).json<{ Results: unknown[] }>().Results.length,
      0,
      'those of a value stay',
    );
    assert.equal((await get('//index//apps-file.json')).statusCode, 200);
  });

  await t.test('dynamic has no-store, on 200 and 304, and is not cached', async () => {
    const { hits, misses } = server.queries;
    const url = '/index/dynamic?repository=apps/notes';
    const first = await get(url);
    assert.equal(first.headers['cache-control'], 'no-store');
    const fresh = await server.fastify.inject({ url, headers: { 'if-none-match': String(first.headers.etag) } });
    assert.deepEqual([fresh.statusCode, fresh.headers['cache-control']], [304, 'no-store']);
    assert.deepEqual(server.queries, { hits, misses: misses + 2 });
    assert.equal(
      (await get('/index/static?repository=apps/notes')).headers['cache-control'],
      'public, max-age=60, stale-while-revalidate=60, stale-if-error=86400',
    );
    assert.equal((await get(url)).headers['cache-control'], 'no-store');
    assert.deepEqual(
      server.queries,
      { hits: hits + 1, misses: misses + 3 },
      'what static has kept is there for dynamic',
    );
  });

  await t.test('concurrent equal questions are answered once', async () => {
    reads();
    await get('/index/dynamic?repository=apps/clock');
    const once = reads();
    const release = hold();
    const answers = Promise.all(
      Array.from({ length: 20 }, (_, i) => get(`/index/${i % 2 === 0 ? 'static' : 'dynamic'}?repository=apps/clock`)),
    );
    await setImmediate();
    release();
    assert.equal(new Set((await answers).map(({ payload }) => payload)).size, 1);
    assert.equal(reads(), once);
  });

  await t.test(
    'a query that matches nothing is 200 with no results, one that matches all is the whole index',
    async () => {
      const nothing = await get('/index/static?repository=apps/none');
      assert.equal(nothing.statusCode, 200);
      assert.deepEqual(nothing.json<{ Results: unknown[] }>().Results, []);
      const whole = await get('/index/apps-file.json', 'gzip');
      const { hits, misses } = server.queries;
      for (let i = 0; i < 2; i++) {
        const all = await get(
          '/index/static?repository=apps/clock&repository=apps/hello&repository=apps/notes',
          'gzip',
        );
        assert.deepEqual(
          [all.rawPayload, all.headers.etag, all.headers['content-encoding']],
          [whole.rawPayload, whole.headers.etag, whole.headers['content-encoding']],
        );
      }
      assert.deepEqual(server.queries, { hits: hits + 1, misses: misses + 1 });
    },
  );

  await t.test('an invalid query is 400 with the parameter, one that is too long 414', async () => {
    for (const [query, status, message] of [
      ['nonsense=1', 400, /"nonsense" is not known. Known are repository, tag/],
      ['tag=%zz', 400, /percent-encoded/],
      ['label:a:exists=0', 400, /only takes the value 1/],
      [Array.from({ length: 65 }, (_, i) => `tag=${i}`).join('&'), 400, /65 parameters/],
      [`tag=${'x'.repeat(8200)}`, 414, /8204 characters/],
    ] as const) {
      const answer = await get(`/index/static?${query}`);
      const { statusCode, message: said } = answer.json<{ statusCode: number; message: string }>();
      assert.deepEqual([answer.statusCode, statusCode], [status, status]);
      assert.match(said, message);
    }
  });
});

test('too many different questions are refused, while cached answers are still served', async (t) => {
  const { server, hold } = await serve(t);
  const get = (url: string) => server.fastify.inject(url);
  const kept = await get('/index/static?repository=apps/clock');
  await get('/index/apps-file.json');
  const release = hold();
  const waiting = Array.from({ length: 64 }, (_, i) =>
    server.fastify.inject({ url: `/index/dynamic?${telling(`none${i}`)}`, remoteAddress: `192.0.2.${i % 4}` }),
  );
  await setImmediate();
  const refused = await get(`/index/static?${telling('one-too-many')}`);
  assert.equal(refused.statusCode, 503);
  assert.equal(refused.headers['retry-after'], '1');
  assert.equal(refused.headers['cache-control'], 'no-store');
  assert.match(refused.json<{ message: string }>().message, /[Tt]oo many different queries/);
  assert.deepEqual((await get('/index/static?repository=apps/clock')).payload, kept.payload);
  assert.equal((await get('/index/apps-file.json')).statusCode, 200);
  release();
  for (const { statusCode } of await Promise.all(waiting)) assert.equal(statusCode, 200);
  assert.equal((await get(`/index/static?${telling('one-too-many')}`)).statusCode, 200);
  assert.deepEqual(
    server.log.filter(({ level }) => level >= 40),
    [],
  );
});

test('one client has a quarter of the queue, and takes turns with others', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage(
    'apps/clock',
    'latest',
    told('clock', {
      'org.flatpak.ref': 'app/org.example.Clock/x86_64/stable',
      'org.flatpak.metadata': '[Application]\nname=org.example.Clock\nruntime=org.example.Platform/x86_64/stable\n',
    }),
  );
  /** Functions that release each read, in order. */
  const looks: (() => void)[] = [];
  const server = await TestServer.create(t, state, {
    description: {
      indexes: [{ name: 'apps', title: 'apps', remoteName: 'apps', signatures: false }],
      baseUrl: undefined,
    },
    maxBodyBytes: 1,
    readBody: async (read) => {
      await new Promise<void>((resolve) => looks.push(resolve));
      return read();
    },
  });
  await server.rebuild();
  const answered: string[] = [];
  const ask = async (from: string, name: string): Promise<number> => {
    const { statusCode } = await server.fastify.inject({ url: `/index/dynamic?${telling(name)}`, remoteAddress: from });
    answered.push(name);
    return statusCode;
  };
  const many = Array.from({ length: 16 }, (_, i) => ask('192.0.2.1', `many${i}`));
  await setImmediate();
  assert.equal(await ask('192.0.2.1', 'one-too-many'), 503);
  const others = [ask('192.0.2.2', 'other'), ask('192.0.2.3', 'third')];
  await setImmediate();
  assert.equal(looks.length, 2, 'two at a time');
  const page = server.fastify.inject({ url: '/api/apps/org.example.Clock', remoteAddress: '192.0.2.1' });
  while (looks.length < 3) await setImmediate();
  looks.splice(2, 1)[0]?.();
  assert.equal((await page).statusCode, 200, 'the page and the API are not kept waiting');
  while (answered.length < 19) {
    const before = answered.length;
    looks.shift()?.();
    while (answered.length === before) await setImmediate();
  }
  assert.deepEqual(new Set(await Promise.all([...many, ...others])), new Set([200]));
  assert.deepEqual(answered.slice(0, 3), ['one-too-many', 'many0', 'many1']);
  assert.deepEqual(
    answered.slice(3, 6).toSorted(),
    ['many2', 'other', 'third'],
    'those that come later are not behind all of the first',
  );
});

/** Patterns that are tried at each character of a label. */
function globs(count: number, salt: string): string {
  return Array.from({ length: count }, (_, i) => `label:text:matches=*${'a?'.repeat(20 + i)}${salt}☃*`)
    .map(encodeURI)
    .join('&');
}

test('a question with too many steps is 400 with the parameter, and does not delay the page', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage(
    'apps/long',
    'latest',
    named('long', {
      text: 'a'.repeat(4 * 1024 * 1024),
      'org.flatpak.ref': 'app/org.example.Long/x86_64/stable',
      'org.flatpak.metadata': '[Application]\nname=org.example.Long\nruntime=org.example.Platform/x86_64/stable\n',
    }),
  );
  const server = await TestServer.create(t, state, {
    description: {
      indexes: [{ name: 'apps', title: 'apps', remoteName: 'apps', signatures: false }],
      baseUrl: undefined,
    },
  });
  await server.rebuild();
  const refused = await server.fastify.inject(`/index/dynamic?${globs(60, '')}`);
  assert.equal(refused.statusCode, 400);
  assert.match(
    refused.json<{ message: string }>().message,
    /^The query parameter "label:text:matches" takes more than \d+ steps over this index; /,
  );
  assert.equal((await server.fastify.inject(`/index/dynamic?${globs(1, 'b')}`)).statusCode, 200);

  const over = new AbortController();
  const flood = Array.from({ length: 16 }, async (_, i) => {
    for (let round = 0; !over.signal.aborted; round++)
      await server.fastify.inject({ url: `/index/dynamic?${globs(5, `${i}-${round}`)}`, remoteAddress: '192.0.2.1' });
  });
  try {
    for (const url of ['/', '/api/apps', '/apps/org.example.Long.flatpakref', '/api/apps/org.example.Long'])
      assert.ok(
        [200, 404].includes((await server.fastify.inject({ url, remoteAddress: '192.0.2.1' })).statusCode),
        url,
      );
    const began = performance.now();
    assert.equal(
      (await server.fastify.inject({ url: '/index/dynamic?repository=apps/long&tag=none', remoteAddress: '192.0.2.2' }))
        .statusCode,
      200,
    );
    assert.ok(performance.now() - began < 10_000);
  } finally {
    over.abort();
    await Promise.all(flood);
  }
});

test('a question is aborted when nobody waits', async (t) => {
  const { server, hold, reads } = await serve(t, { maxWaiting: 1 });
  const port = await server.listen();
  const ask = (question: string, signal?: AbortSignal) =>
    fetch(`http://127.0.0.1:${port}/index/static?${telling(question)}`, { ...(signal && { signal }) });
  const release = hold();
  const clients = [new AbortController(), new AbortController()];
  const answers = clients.map(({ signal }) => ask('none', signal));
  while (reads() === 0) await setImmediate();
  const refused = async (): Promise<boolean> =>
    (await server.fastify.inject(`/index/static?${telling('other')}`)).statusCode === 503;
  assert.equal(await refused(), true);
  clients[0]?.abort();
  await assert.rejects(answers[0] ?? Promise.resolve(), { name: 'AbortError' });
  assert.equal(await refused(), true, 'another one waits');
  clients[1]?.abort();
  await assert.rejects(answers[1] ?? Promise.resolve(), { name: 'AbortError' });
  // Its place is free, and an equal question gets an answer.
  const again = ask('none');
  while (server.queries.misses < 5) await setImmediate();
  release();
  assert.equal((await again).status, 200);
  assert.equal(await refused(), false);
  assert.deepEqual(
    server.log.filter(({ level }) => level >= 40),
    [],
  );
});

test('an answer from a replaced publication is complete, and cached for unchanged chunks only', async (t) => {
  const { state, server, hold, reads } = await serve(t);
  const release = hold();
  // All that the index held when it was asked; less than what it holds when that is known.
  const all = 'repository=apps/clock&repository=apps/hello&repository=apps/notes';
  const answer = server.fastify.inject(`/index/static?${all}`);
  while (reads() === 0) await setImmediate();
  state.registry.pushImage('apps/more', 'latest', named('more'));
  state.registry.pushImage('apps/hello', 'latest', named('new'));
  await server.rebuild();
  release();
  const before = await answer;
  assert.deepEqual(repositories(before.payload), ['apps/clock', 'apps/hello', 'apps/notes']);
  assert.match(before.payload, /"name":"hello"/);
  const after = await server.fastify.inject(`/index/static?${all}`);
  assert.deepEqual(repositories(after.payload), ['apps/clock', 'apps/hello', 'apps/notes']);
  assert.match(after.payload, /"name":"new"/);
  assert.notEqual(after.headers.etag, before.headers.etag);

  // The other way round: little of what it holds when it is asked, all of what it holds then.
  const releaseAgain = hold();
  reads();
  const hello = server.fastify.inject({
    url: '/index/static?repository=apps/hello',
    headers: { 'accept-encoding': 'gzip' },
  });
  while (reads() === 0) await setImmediate();
  for (const repository of ['apps/clock', 'apps/notes', 'apps/more'])
    state.registry.deleteRepository(repository, { stays: true });
  await server.rebuild();
  releaseAgain();
  assert.deepEqual(repositories(gunzipSync((await hello).rawPayload).toString()), ['apps/hello']);
});

test('after a push only the changed chunk is asked again', async (t) => {
  const names = Array.from({ length: 100 }, (_, i) => `app${i}`);
  const { state, server, reads } = await serve(t, {}, names);
  const before = (await state.shown()).chunks.map(({ name }) => name);
  assert.ok(before.length > 3);
  const ask = async (question: string): Promise<string[]> =>
    repositories((await server.fastify.inject(`/index/static?${question}`)).payload);
  assert.deepEqual(await ask(telling('new')), []);
  assert.equal(reads(), before.length);
  await ask(telling('new'));
  assert.equal(reads(), 0);

  state.registry.pushImage('apps/app50', 'latest', told('other'));
  await server.rebuild();
  const after = (await state.shown()).chunks.map(({ name }) => name);
  assert.equal(after.filter((name) => !before.includes(name)).length, 1);
  assert.deepEqual(await ask(telling('new')), []);
  assert.equal(reads(), 1);

  // Several pushes, with the question between some of them.
  for (const [i, pushed] of ['app1', 'app99', 'app1', 'app40'].entries()) {
    state.registry.pushImage(`apps/${pushed}`, 'latest', told(i % 2 === 0 ? 'new' : 'old'));
    await server.rebuild();
    if (i > 0) assert.deepEqual((await ask(telling('new'))).includes(`apps/${pushed}`), i % 2 === 0, pushed);
  }
  const kept = await server.fastify.inject(`/index/static?${telling('new')}`);
  assert.equal(
    kept.payload,
    (await server.fastify.inject('/index/static?label:name=new')).payload,
    'as it would be if it were asked for the first time',
  );
});

test('the cache is limited; the least recently used answer is removed', async (t) => {
  const { state, server, reads } = await serve(t, { maxBytes: 15_000 });
  const ask = (name: string) => server.fastify.inject(`/index/static?${telling(name)}`);
  for (const name of ['a', 'b', 'c', 'a', 'd', 'a', 'c', 'd']) await ask(name);
  assert.equal(reads(), 4, 'three are kept');
  await ask('b');
  assert.equal(reads(), 1, 'b has gone');
  state.registry.pushImage('apps/more', 'latest', named('more'));
  await server.rebuild();
  await ask('b');
  assert.equal(reads(), 1, 'of another publication');
});

test('a failed answer is not cached, and frees its place', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage('apps/clock', 'latest', told('clock'));
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  let fail = true;
  const server = await TestServer.create(t, state, {
    questions: { maxWaiting: 1 },
    maxBodyBytes: 1,
    readBody: async (read) => {
      await held;
      if (fail) throw new Error('no');
      return read();
    },
  });
  await server.rebuild();
  const ask = async (name: string) => {
    const { statusCode, payload } = await server.fastify.inject(`/index/static?${telling(name)}`);
    return { statusCode, payload };
  };
  const first = ask('a');
  await setImmediate();
  assert.match((await ask('b')).payload, /Too many different queries/);
  release();
  const { statusCode, payload } = await first;
  assert.equal(statusCode, 503);
  assert.match(payload, /cannot be read and is being rebuilt/);
  fail = false;
  assert.equal((await ask('a')).statusCode, 200);
});
