import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { Question } from '../../src/server/answers.ts';
import { Answers } from '../../src/server/answers.ts';
import { TooBusy } from '../../src/server/server-error.ts';
import { named, TestState } from '../indexing/test-state.ts';
import { TestServer } from './test-server.ts';

/** A server whose questions to the query thread are counted, and wait while they are held. */
async function serve(t: TestContext): Promise<{ state: TestState; server: TestServer; asked: Question[]; readonly hold: () => () => void }> {
  const state = await TestState.open(t);
  for (const name of ['clock', 'hello', 'notes']) state.registry.pushImage(`apps/${name}`, 'latest', named(name, { 'org.flatpak.ref': `app/org.example.${name}/x86_64/stable` }));
  const asked: Question[] = [];
  let held: Promise<void> = Promise.resolve();
  const server = await TestServer.create(t, state, {
    answer: (answer) => async (question) => {
      asked.push(question);
      await held;
      return answer(question);
    },
  });
  await server.rebuild();
  const hold = (): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    held = promise;
    return resolve;
  };
  return { state, server, asked, hold };
}

function repositories(index: string): string[] {
  return (JSON.parse(index) as { Results: { Name: string }[] }).Results.map(({ Name }) => Name);
}

test('answers are worked out once and kept', async (t) => {
  const { server, asked, hold } = await serve(t);
  const get = (url: string, encoding = 'identity') => server.app.inject({ url, headers: { 'accept-encoding': encoding } });

  await t.test('the same question in another order or spelling is the same answer', async () => {
    asked.length = 0;
    const first = await get('/index/static?repository=apps/hello&os=linux&label:name:exists=1&tag=latest&tag=none');
    assert.deepEqual(repositories(first.payload), ['apps/hello']);
    for (const query of ['tag=none&tag=latest&label%3Aname%3Aexists=1&os=linux&repository=apps%2fhello', 'os=linux&os=linux&&tag=latest&tag=none&repository=apps/hello&label:name:exists=1']) {
      const again = await get(`/index/static?${query}`);
      assert.deepEqual([again.payload, again.headers.etag], [first.payload, first.headers.etag]);
    }
    assert.equal((await get('/apps/index/static?label:name:exists=1&tag=latest&tag=none&repository=apps/hello&os=linux')).headers.etag, first.headers.etag);
    assert.equal(asked.length, 1);
  });

  await t.test('what Flatpak asks is ready before anyone asks', async () => {
    asked.length = 0;
    assert.equal((await get('/index/static?tag=latest&os=linux&architecture=amd64&label:org.flatpak.ref:exists=1')).statusCode, 200);
    assert.deepEqual(asked, []);
  });

  await t.test('slashes that are doubled count as one', async () => {
    const { payload } = await get('/apps/index/static?tag=latest');
    for (const url of ['//apps/index/static?tag=latest', '/apps//index/static?tag=latest', '///apps//index//static?tag=latest']) assert.equal((await get(url)).payload, payload, url);
    assert.equal((await get('//index/static?repository=apps//hello')).json<{ Results: unknown[] }>().Results.length, 0, 'those of a value stay');
    assert.equal((await get('//index//apps-file.json')).statusCode, 200);
  });

  await t.test('dynamic says no-store, on 200 and 304, and is not kept', async () => {
    asked.length = 0;
    const url = '/index/dynamic?repository=apps/notes';
    const first = await get(url);
    assert.equal(first.headers['cache-control'], 'no-store');
    const fresh = await server.app.inject({ url, headers: { 'if-none-match': String(first.headers.etag) } });
    assert.deepEqual([fresh.statusCode, fresh.headers['cache-control']], [304, 'no-store']);
    assert.equal(asked.length, 2);
    assert.equal((await get('/index/static?repository=apps/notes')).headers['cache-control'], 'public, max-age=60, stale-while-revalidate=60, stale-if-error=86400');
    assert.equal((await get(url)).headers['cache-control'], 'no-store');
    assert.equal(asked.length, 3, 'what static has kept is there for dynamic');
  });

  await t.test('equal questions at the same time are worked out once', async () => {
    asked.length = 0;
    const release = hold();
    const answers = Promise.all(Array.from({ length: 20 }, (_, i) => get(`/index/${i % 2 === 0 ? 'static' : 'dynamic'}?repository=apps/clock`)));
    await new Promise(setImmediate);
    release();
    assert.equal(new Set((await answers).map(({ payload }) => payload)).size, 1);
    assert.equal(asked.length, 1);
  });

  await t.test('a query that matches nothing is 200 with no results, one that matches all is the whole index', async () => {
    const nothing = await get('/index/static?repository=apps/none');
    assert.equal(nothing.statusCode, 200);
    assert.deepEqual(nothing.json<{ Results: unknown[] }>().Results, []);
    const whole = await get('/index/apps-file.json', 'gzip');
    asked.length = 0;
    for (let i = 0; i < 2; i++) {
      const all = await get('/index/static?repository=apps/clock&repository=apps/hello&repository=apps/notes', 'gzip');
      assert.deepEqual([all.rawPayload, all.headers.etag, all.headers['content-encoding']], [whole.rawPayload, whole.headers.etag, whole.headers['content-encoding']]);
    }
    assert.equal(asked.length, 1);
  });

  await t.test('what cannot be understood is 400 with the parameter, what is too long 414', async () => {
    for (const [query, status, message] of [
      ['nonsense=1', 400, /"nonsense" is not known. Known are repository, tag/],
      ['tag=%zz', 400, /percent-encoded/],
      ['label:a:exists=0', 400, /takes the value 1/],
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

test('too many different questions are refused, while what is kept is still served', async (t) => {
  const { server, hold } = await serve(t);
  const get = (url: string) => server.app.inject(url);
  const kept = await get('/index/static?repository=apps/clock');
  const release = hold();
  const waiting = Array.from({ length: 64 }, (_, i) => server.app.inject({ url: `/index/dynamic?repository=apps/none${i}`, remoteAddress: `192.0.2.${i % 4}` }));
  await new Promise(setImmediate);
  const refused = await get('/index/static?repository=apps/one-too-many');
  assert.equal(refused.statusCode, 503);
  assert.equal(refused.headers['retry-after'], '1');
  assert.equal(refused.headers['cache-control'], 'no-store');
  assert.match(refused.json<{ message: string }>().message, /[Tt]oo many different queries/);
  assert.deepEqual((await get('/index/static?repository=apps/clock')).payload, kept.payload);
  assert.equal((await get('/index/apps-file.json')).statusCode, 200);
  release();
  for (const { statusCode } of await Promise.all(waiting)) assert.equal(statusCode, 200);
  assert.equal((await get('/index/static?repository=apps/one-too-many')).statusCode, 200);
  assert.deepEqual(server.log.filter(({ level }) => level >= 40), []);
});

test('one client has a quarter of the places, and turns with others', async () => {
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const answers = new Answers({
    maxWaiting: 64,
    answer: async ({ snapshot, encoding, query }) => {
      begun.push(query.canonical);
      await new Promise<void>((resolve) => ends.push(resolve));
      return { snapshot, encoding, body: Buffer.from('x'), etag: '"x"' };
    },
  });
  const ask = (from: string, canonical: string, view?: { readonly app: string }) => answers.answer({ index: 'apps', snapshot: 's', query: { conditions: [], canonical }, encoding: 'identity', keep: false, from, ...(view && { view }) });
  const many = Array.from({ length: 16 }, (_, i) => ask('192.0.2.1', `many${i}`));
  await assert.rejects(ask('192.0.2.1', 'one-too-many'), TooBusy);
  const others = [ask('192.0.2.2', 'other'), ask('192.0.2.3', 'third')];
  assert.deepEqual(begun, ['many0', 'many1'], 'two at a time');
  const page = ask('192.0.2.1', '', { app: 'org.example.Clock' });
  assert.equal(begun.length, 3, 'the page and the API are not kept waiting');
  while (begun.length < 19) {
    ends.shift()?.();
    await new Promise(setImmediate);
  }
  for (const end of ends) end();
  await Promise.all([...many, ...others, page]);
  assert.deepEqual(begun.slice(3, 6).toSorted(), ['many2', 'other', 'third'], 'those that come later are not behind all of the first');
});

/** Patterns that are compared with each character of a label. */
function globs(count: number, salt: string): string {
  return Array.from({ length: count }, (_, i) => `label:text:matches=*${'a?'.repeat(20 + i)}${salt}☃*`).map(encodeURI).join('&');
}

test('a question that would take too many steps is 400 with the parameter, and takes nothing from the page', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage('apps/long', 'latest', named('long', { text: 'a'.repeat(4 * 1024 * 1024), 'org.flatpak.ref': 'app/org.example.Long/x86_64/stable', 'org.flatpak.metadata': '[Application]\nname=org.example.Long\nruntime=org.example.Platform/x86_64/stable\n' }));
  const server = await TestServer.create(t, state, { publication: { indexes: [{ name: 'apps', title: 'apps', remoteName: 'apps', signatures: false }], baseUrl: undefined } });
  await server.rebuild();
  const refused = await server.app.inject(`/index/dynamic?${globs(60, '')}`);
  assert.equal(refused.statusCode, 400);
  assert.match(refused.json<{ message: string }>().message, /^The query parameter "label:text:matches" takes more than \d+ steps over this index; /);
  assert.equal((await server.app.inject(`/index/dynamic?${globs(1, 'b')}`)).statusCode, 200);

  const over = new AbortController();
  const flood = Array.from({ length: 16 }, async (_, i) => {
    for (let round = 0; !over.signal.aborted; round++) await server.app.inject({ url: `/index/dynamic?${globs(5, `${i}-${round}`)}`, remoteAddress: '192.0.2.1' });
  });
  try {
    for (const url of ['/', '/api/apps', '/apps/org.example.Long.flatpakref', '/api/apps/org.example.Long']) assert.ok([200, 404].includes((await server.app.inject({ url, remoteAddress: '192.0.2.1' })).statusCode), url);
    const began = performance.now();
    assert.equal((await server.app.inject({ url: '/index/dynamic?repository=apps/long&tag=none', remoteAddress: '192.0.2.2' })).statusCode, 200);
    assert.ok(performance.now() - began < 10_000);
  } finally {
    over.abort();
    await Promise.all(flood);
  }
});

test('a question that nobody waits for any more is given up', async () => {
  const signals: AbortSignal[] = [];
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const answers = new Answers({
    maxWaiting: 1,
    answer: async ({ snapshot, encoding }, signal) => {
      assert.ok(signal);
      signals.push(signal);
      await held;
      signal.throwIfAborted();
      return { snapshot, encoding, body: Buffer.from('x'), etag: '"x"' };
    },
  });
  const question: Question = { index: 'apps', snapshot: 's', query: { conditions: [], canonical: 'a' }, encoding: 'identity', keep: true };
  const [first, second, third] = [new AbortController(), new AbortController(), new AbortController()];
  const asked = [first, second].map(({ signal }) => answers.answer(question, signal));
  first.abort(new Error('gone'));
  await assert.rejects(asked[0] ?? Promise.resolve(), /gone/);
  assert.equal(signals[0]?.aborted, false, 'another one waits');
  second.abort(new Error('gone, too'));
  await assert.rejects(asked[1] ?? Promise.resolve(), /gone, too/);
  assert.equal(signals[0]?.aborted, true);
  // It takes no place any more, and who asks the same gets an answer.
  const again = answers.answer(question, third.signal);
  release();
  assert.ok((await again) !== 'whole');
  assert.equal(signals.length, 2);
});

test('a client that goes away takes its question with it', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage('apps/hello', 'latest', named('hello'));
  const asked = Promise.withResolvers<AbortSignal>();
  const server = await TestServer.create(t, state, {
    answer: () => (_question, signal) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason as Error));
        if (signal) asked.resolve(signal);
      }),
  });
  await server.rebuild();
  const url = await server.app.listen({ port: 0 });
  const client = new AbortController();
  const answer = fetch(`${url}/index/static?repository=apps/none`, { signal: client.signal });
  const signal = await asked.promise;
  client.abort();
  await assert.rejects(answer, { name: 'AbortError' });
  if (!signal.aborted) await once(signal, 'abort');
  assert.deepEqual(server.log.filter(({ level }) => level >= 40), []);
});

test('an answer from a snapshot that is being replaced is whole, and not kept', async (t) => {
  const { state, server, asked, hold } = await serve(t);
  const release = hold();
  // All that the index held when it was asked; less than what it holds when that is known.
  const all = 'repository=apps/clock&repository=apps/hello&repository=apps/notes';
  const answer = server.app.inject(`/index/static?${all}`);
  const one = server.app.inject('/index/static?repository=apps/hello');
  await new Promise(setImmediate);
  state.registry.pushImage('apps/more', 'latest', named('more'));
  state.registry.pushImage('apps/hello', 'latest', named('new'));
  await server.rebuild();
  release();
  assert.deepEqual(repositories((await answer).payload), ['apps/clock', 'apps/hello', 'apps/notes']);
  assert.match((await one).payload, /"name":"new"/);
  asked.length = 0;
  const again = await server.app.inject(`/index/static?${all}`);
  assert.equal(again.payload, (await answer).payload);
  assert.equal(asked.length, 1);

  // The other way round: little of what it holds when it is asked, all of what it holds then.
  const releaseAgain = hold();
  const hello = server.app.inject({ url: '/index/static?repository=apps/hello', headers: { 'accept-encoding': 'gzip' } });
  await new Promise(setImmediate);
  for (const repository of ['apps/clock', 'apps/notes', 'apps/more']) state.registry.deleteRepository(repository, { stays: true });
  await server.rebuild();
  releaseAgain();
  assert.deepEqual(repositories(gunzipSync((await hello).rawPayload).toString()), ['apps/hello']);
});

test('answers are kept within the limit, the least recently used goes', async () => {
  let worked = 0;
  const answers = new Answers({
    answer: async ({ snapshot, encoding }) => {
      worked++;
      return { snapshot, encoding, body: Buffer.alloc(10_000), etag: '"a"' };
    },
    maxBytes: 35_000,
  });
  const ask = (canonical: string, snapshot = '"1"') => answers.answer({ index: 'apps', snapshot, query: { conditions: [], canonical }, encoding: 'gzip', keep: true });
  for (const canonical of ['a', 'b', 'c', 'a', 'd', 'a', 'c', 'd']) await ask(canonical);
  assert.equal(worked, 4, 'three are kept');
  await ask('b');
  assert.equal(worked, 5, 'b has gone');
  await ask('b', '"2"');
  assert.equal(worked, 6, 'of another snapshot');
});

test('an answer that fails is not kept, and makes room for others', async () => {
  let fail = true;
  const answers = new Answers({
    answer: async ({ snapshot, encoding }) => {
      if (fail) throw new Error('no');
      return { snapshot, encoding, body: Buffer.from('yes'), etag: '"a"' };
    },
    maxWaiting: 1,
  });
  const ask = (canonical: string) => answers.answer({ index: 'apps', snapshot: '"1"', query: { conditions: [], canonical }, encoding: 'gzip', keep: true });
  const first = ask('a');
  await assert.rejects(ask('b'), TooBusy);
  await assert.rejects(first, /no/);
  fail = false;
  assert.notEqual(await ask('a'), 'whole');
});
