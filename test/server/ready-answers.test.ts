/** Repeated requests get the same answer until something changes. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { suite, test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import fastify from 'fastify';
import { request } from 'undici';
import { ReadyAnswers } from '../../src/server/plugins/ready-answers.ts';
import { Readers } from '../../src/server/plugins/readers.ts';
import { RequestFigures } from '../../src/server/figures.ts';
import { png, pngPath, pngUri } from '../indexing/png.ts';
import { named, TestState } from '../indexing/test-state.ts';
import { RawConnection } from './raw-connection.ts';
import { TestServer } from './test-server.ts';

const ICON = 'org.freedesktop.appstream.icon-64';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

async function start(t: TestContext): Promise<{
  state: TestState;
  server: TestServer;
  port: number;
  ask: (path: string, headers?: Record<string, string>, method?: 'GET' | 'HEAD') => Promise<Answer>;
}> {
  const state = await TestState.open(t, { definitions: [{ extractIcons: true }] });
  state.registry.pushImage('app', 'latest', named('app', { [ICON]: pngUri('icon') }));
  const server = await TestServer.create(t, state);
  await server.rebuild();
  const port = await server.listen();
  const origin = `http://127.0.0.1:${port}`;
  const ask = async (
    path: string,
    headers: Record<string, string> = {},
    method: 'GET' | 'HEAD' = 'GET',
  ): Promise<Answer> => {
    const {
      statusCode,
      headers: { date: _, ...answered },
      body,
    } = await request(origin + path, { method, headers });
    return { status: statusCode, headers: answered, body: Buffer.from(await body.arrayBuffer()) };
  };
  return { state, server, port, ask };
}

test('each request gets its own answer again, whatever came in between', async (t) => {
  const { ask } = await start(t);
  const etag = String((await ask('/index/static')).headers['etag']);
  const asked: [string, Record<string, string>, ('GET' | 'HEAD')?][] = [
    ['/index/static', {}],
    ['/index/static', { 'accept-encoding': 'gzip' }],
    ['/index/static', { 'if-none-match': etag }],
    ['/index/static', { 'if-none-match': '"other"' }],
    ['/index/static', { 'if-modified-since': new Date(Date.now() + 60_000).toUTCString() }],
    ['/index/static', {}, 'HEAD'],
    ['/index/static?architecture=none', {}],
    ['/index/dynamic', {}],
    ['/index/apps-file.json', {}],
    [`/index/icons/${pngPath('icon')}`, {}],
    [`/index/icons/${pngPath('icon')}`, { 'if-none-match': '*' }],
  ];
  const first: Answer[] = [];
  for (const question of asked) first.push(await ask(...question));
  assert.deepEqual(
    first.map(({ status }) => status),
    [200, 200, 304, 200, 304, 200, 200, 200, 200, 200, 304],
  );
  const [plain, zipped] = first;
  assert.deepEqual([plain?.headers['content-encoding'], zipped?.headers['content-encoding']], [undefined, 'gzip']);
  assert.deepEqual(gunzipSync(zipped?.body ?? ''), plain?.body);
  for (let round = 0; round < 2; round++) {
    for (const [place, question] of asked.entries())
      assert.deepEqual(await ask(...question), first[place], JSON.stringify(question));
  }
  assert.deepEqual(first[9]?.body, png('icon'));
});

test('after a new publication, no answer of the previous one is sent', async (t) => {
  const { state, server, ask } = await start(t);
  const before = [await ask('/index/static'), await ask('/index/static')];
  const etag = String(before[0]?.headers['etag']);
  assert.equal((await ask('/index/static', { 'if-none-match': etag })).status, 304);
  state.registry.pushImage('new', 'latest', named('new'));
  await server.rebuild();
  for (let round = 0; round < 2; round++) {
    const { status, headers, body } = await ask('/index/static', { 'if-none-match': etag });
    assert.equal(status, 200);
    assert.notEqual(headers['etag'], etag);
    assert.match(body.toString(), /"Name":"new"/);
  }
});

test('headers count in upper case, repeated, or absent', async (t) => {
  const { port, ask } = await start(t);
  const etag = String((await ask('/index/static')).headers['etag']);
  const raw = async (lines: string): Promise<number> => {
    using connection = RawConnection.open(port);
    connection.send(`GET /index/static HTTP/1.1\n${lines}\n`);
    return (await connection.answer()).statusCode;
  };
  // Each is sent when its answer, or that to a similar request, is cached.
  for (let round = 0; round < 2; round++) {
    assert.equal(await raw('Host: a\n'), 200);
    assert.equal(await raw(`HOST: a\nIF-NONE-MATCH: ${etag}\n`), 304);
    assert.equal(await raw(`host: a\nif-none-match: "other"\nif-none-match: ${etag}\n`), 304);
    assert.equal(await raw(`host: a\nif-none-match: "other"\n`), 200);
    assert.equal(await raw(`if-none-match: ${etag}\n`), 400);
    assert.equal(await raw(''), 400);
  }
});

suite('over routes that count their requests', () => {
  /** Size of an answer, in bytes. */
  const SIZE = 1000;

  /** @param maxBytes room for one answer per 1,000 to 2,000 bytes */
  async function counting(t: TestContext, maxBytes?: number) {
    const answers = new ReadyAnswers(new RequestFigures(), new Readers(), {
      ...(maxBytes !== undefined && { maxBytes }),
    });
    const server = fastify({
      serverFactory: (route) =>
        createServer((message, response) => void (answers.answer(message, response) || route(message, response))),
    });
    answers.register(server);
    let asked = 0;
    let held: Promise<void> | undefined;
    server.get('/*', async (_request, reply) => {
      asked++;
      answers.keep(reply);
      await held;
      return Buffer.from('answer'.padEnd(SIZE));
    });
    const address = await server.listen({ host: '127.0.0.1', port: 0 });
    t.after(() => server.close());
    /** Requests a path; says whether the route was called. */
    const asks = async (path: string, etag = ''): Promise<boolean> => {
      const before = asked;
      const { body } = await request(`${address}${path}`, { headers: etag === '' ? {} : { 'if-none-match': etag } });
      assert.equal(await body.text(), 'answer'.padEnd(SIZE));
      return asked > before;
    };
    const hold = (until: Promise<void>): void => void (held = until);
    return { answers, asks, hold, asked: () => asked };
  }

  test('the least recently used answers are removed', async (t) => {
    const { asks } = await counting(t, 50 * SIZE);
    assert.equal(await asks('/often'), true);
    for (let other = 0; other < 100; other++) {
      assert.equal(await asks(`/other-${other}`), true);
      assert.equal(await asks('/often'), false, `after ${other} others`);
    }
    assert.equal(await asks('/other-99'), false);
    assert.equal(await asks('/other-0'), true);
  });

  test('a change clears all answers', async (t) => {
    const { answers, asks } = await counting(t, 50 * SIZE);
    for (let other = 0; other < 20; other++) await asks(`/other-${other}`);
    answers.clear();
    for (let other = 0; other < 20; other++) assert.equal(await asks(`/other-${other}`), true);
  });

  test('an answer that was pending during a change is not cached', async (t) => {
    const { answers, asks, hold, asked } = await counting(t);
    const { promise, resolve } = Promise.withResolvers<void>();
    hold(promise);
    const underWay = asks('/');
    while (asked() === 0) await setImmediate(undefined, { signal: t.signal });
    answers.clear();
    resolve();
    assert.equal(await underWay, true);
    assert.equal(await asks('/'), true);
    assert.equal(await asks('/'), false);
  });

  test('answers to one URL are limited, and concurrent equal ones are cached once', async (t) => {
    const { asks, hold, asked } = await counting(t);
    assert.equal(await asks('/', '"first"'), true);
    const { promise, resolve } = Promise.withResolvers<void>();
    hold(promise);
    const together = Array.from({ length: 5 }, () => asks('/', '"together"'));
    while (asked() < 6) await setImmediate(undefined, { signal: t.signal });
    resolve();
    await Promise.all(together);
    for (let other = 0; other < 30; other++) assert.equal(await asks('/', `"${other}"`), true);
    assert.equal(await asks('/', '"first"'), false);
    assert.equal(await asks('/', '"one more"'), true);
    assert.equal(await asks('/', '"first"'), true);
    assert.equal(await asks('/', '"29"'), false);
  });
});
