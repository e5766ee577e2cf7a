import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { named, TestState } from '../indexing/test-state.ts';
import { RawConnection } from './raw-connection.ts';
import { ADMIN_TOKEN, bearer, type TestServerOptions, TestServer } from './test-server.ts';

interface RebuildBody {
  readonly id: string;
  readonly state: string;
  readonly reasons: readonly string[];
  readonly scope: { readonly indexes: unknown; readonly repositories: readonly string[] };
  readonly message?: string;
}

/** Serves a registry with one app, nothing built yet. Each request has its own address because of the rate limit. */
async function serve(t: TestContext, options: TestServerOptions = {}) {
  const state = await TestState.open(t);
  state.registry.pushImage('apps/clock', 'latest', named('clock'));
  const server = await TestServer.create(t, state, options);
  let address = 0;
  const post = (
    payload?: string | object,
    { url = '/reindex', headers = {} }: { url?: string; headers?: Record<string, string> } = {},
  ) =>
    server.fastify.inject({
      method: 'POST',
      url,
      headers: { ...bearer(ADMIN_TOKEN), ...headers },
      ...(payload !== undefined && { payload }),
      remoteAddress: `127.0.1.${++address}`,
    });
  const get = (id: string) => server.fastify.inject({ url: `/reindex/${id}`, headers: bearer(ADMIN_TOKEN) });
  return { state, server, post, get };
}

test('a rebuild is queued, can be queried, and waited for', async (t) => {
  const { state, server, post, get } = await serve(t);
  const held = state.registry.hold({ method: 'repositories' });
  const queued = await post();
  assert.equal(queued.statusCode, 202);
  const { id, state: its, reasons, scope } = queued.json<RebuildBody>();
  assert.deepEqual(
    [its, reasons, scope],
    ['queued', ['POST /reindex from 127.0.1.1'], { indexes: 'all', repositories: [] }],
  );
  assert.equal(queued.headers.location, `/reindex/${id}`);
  assert.equal(queued.headers['cache-control'], 'no-store');

  await held.reached;
  const running = await get(id);
  assert.deepEqual(
    [running.statusCode, running.json<RebuildBody>().state, running.headers['cache-control']],
    [200, 'running', 'no-store'],
  );
  const rebuilt = server.rebuilt();
  held.release();
  await rebuilt;
  assert.equal((await get(id)).json<RebuildBody>().state, 'done');

  state.registry.pushImage('apps/hello', 'latest', named('hello'));
  const waited = await post({}, { url: '/reindex?wait=true' });
  assert.deepEqual([waited.statusCode, waited.json<RebuildBody>().state], [200, 'done']);
  assert.match(
    (await server.fastify.inject('/index/apps-file.json')).payload,
    /"name":"hello"/,
    'what it has made is served',
  );

  state.registry.fail({ method: 'tags', repository: 'apps/hello' });
  const failed = await post({}, { url: '/reindex?wait=true' });
  assert.equal(failed.statusCode, 502);
  assert.match(failed.json<RebuildBody>().message ?? '', /The rebuild failed and will be retried: .*apps\/hello/);
  assert.equal((await get('none')).statusCode, 404);
});

test('the body may say what to rebuild', async (t) => {
  const { state, post } = await serve(t);
  await state.rebuild();
  for (const [payload, headers, indexes, repositories] of [
    [undefined, {}, 'all', []],
    [undefined, { 'content-type': 'application/json' }, 'all', []],
    ['', { 'content-type': 'application/json' }, 'all', []],
    ['', { 'content-type': 'application/x-www-form-urlencoded' }, 'all', []],
    ['{}', { 'content-type': 'application/json; charset=utf-8' }, 'all', []],
    ['null', { 'content-type': 'application/json' }, 'all', []],
    ['{"index":"apps"}', { 'content-type': 'application/json' }, ['apps'], []],
    ['{"repository":"apps/clock"}', { 'content-type': 'application/json' }, [], ['apps/clock']],
  ] as const) {
    const answer = await post(payload, { url: '/reindex?wait=true', headers });
    assert.equal(answer.statusCode, 200, `${payload} ${JSON.stringify(headers)} ${answer.payload}`);
    assert.deepEqual(answer.json<RebuildBody>().scope, { indexes, repositories });
  }
});

test('a sudden loss is reported, and accepted at once with accept_losses', async (t) => {
  const { state, server, post } = await serve(t);
  for (let app = 0; app < 30; app++) state.registry.pushImage(`apps/app-${app}`, 'latest', named(`app ${app}`));
  await post({}, { url: '/reindex?wait=true' });
  for (let app = 0; app < 30; app++) state.registry.deleteRepository(`apps/app-${app}`, { stays: true });
  const wait = { url: '/reindex?wait=true' };
  const held = async (): Promise<readonly unknown[]> => {
    const { indexes } = (await server.fastify.inject({ url: '/status', headers: bearer(ADMIN_TOKEN) })).json<{
      indexes: { images: number; held?: object; lastRebuild: { state: string; warnings: string[] } }[];
    }>();
    return [
      indexes[0]?.images,
      indexes[0]?.held,
      indexes[0]?.lastRebuild.state,
      indexes[0]?.lastRebuild.warnings.length,
    ];
  };
  assert.equal((await post({ accept_losses: false }, wait)).statusCode, 200);
  assert.deepEqual(await held(), [31, { images: 30, of: 31 }, 'done', 1]);
  const logged = server.log.filter(({ level }) => level === 40).map(({ msg }) => msg);
  assert.equal(logged.length, 1);
  assert.match(
    logged[0] ?? '',
    /^the registry says that 30 of its 31 images are gone, .*POST \/reindex with \{"accept_losses": true\}/,
  );

  const { scope } = (await post({ index: 'apps', accept_losses: true }, wait)).json<{ scope: object }>();
  assert.deepEqual(scope, { indexes: ['apps'], repositories: [], acceptLosses: true });
  assert.deepEqual(await held(), [1, undefined, 'done', 0]);
});

test('invalid requests are refused, with the path of the fault', async (t) => {
  const { server, post } = await serve(t);
  const json = { 'content-type': 'application/json' };
  for (const [payload, headers, status, message] of [
    ['{"index":5}', json, 400, 'body/index must be string'],
    ['{"index":null}', json, 400, 'body/index must be string'],
    ['{"index":["apps"]}', json, 400, 'body/index must be string'],
    ['{"index":""}', json, 400, 'body/index must NOT have fewer than 1 characters'],
    ['{"repository":{}}', json, 400, 'body/repository must be string'],
    [`{"repository":"${'a'.repeat(256)}"}`, json, 400, 'body/repository must NOT have more than 255 characters'],
    ['{"indx":"apps"}', json, 400, 'body/indx is not known, expected index or repository or accept_losses'],
    ['{"index":"apps","repository":"apps/clock"}', json, 400, 'body has index and repository, expected one of them'],
    ['{"accept_losses":"yes"}', json, 400, 'body/accept_losses must be boolean'],
    ['[]', json, 400, 'body must be object,null'],
    ['"apps"', json, 400, 'body must be object,null'],
    ['{"index"', json, 400, /JSON/],
    ['{"__proto__":{"index":"apps"}}', json, 400, /JSON/],
    ['{"index":"none"}', json, 404, 'There is no index "none"; see /status for a list.'],
    ['{"repository":"none"}', json, 404, 'There is no repository "none" that an index includes.'],
    ['{"repository":"../../etc"}', json, 404, 'There is no repository "../../etc" that an index includes.'],
    [
      'index=apps',
      { 'content-type': 'application/x-www-form-urlencoded' },
      415,
      'The body must be JSON: send "Content-Type: application/json".',
    ],
    ['{}', { 'content-type': 'text/plain' }, 415, 'The body must be JSON: send "Content-Type: application/json".'],
    ['{}', { 'content-type': 'json' }, 415, /Media Type/],
    [JSON.stringify({ index: 'x'.repeat(1024 * 1024) }), json, 413, /too large/],
  ] as const) {
    const answer = await post(payload, { headers });
    const body = answer.json<RebuildBody>();
    assert.equal(answer.statusCode, status, payload.slice(0, 100));
    if (typeof message === 'string') assert.equal(body.message, message);
    else assert.match(body.message ?? '', message);
  }
  for (const url of ['/reindex?wait=yes', '/reindex?wait=', '/reindex?wait=true&wait=true', '/reindex?wait=1']) {
    const answer = await post(undefined, { url });
    assert.equal(answer.statusCode, 400, url);
    assert.match(
      answer.json<RebuildBody>().message ?? '',
      /^querystring\/wait (must be string|is not one of its values, expected true or false)$/,
    );
  }
  assert.match(
    (await post(undefined, { url: '/reindex?wiat=true' })).json<RebuildBody>().message ?? '',
    /^querystring\/wiat is not known, expected wait$/,
  );
  assert.deepEqual(server.queue.recent(), [], 'nothing was asked for');
});

test('requests need the token', async (t) => {
  const { server } = await serve(t);
  for (const method of ['POST', 'GET'] as const) {
    const url = method === 'POST' ? '/reindex' : '/reindex/some-id';
    for (const [index, authorization] of [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      'Bearer wrong',
      `Bearer ${ADMIN_TOKEN}x`,
      `Basic ${ADMIN_TOKEN}`,
      ADMIN_TOKEN,
    ].entries()) {
      const answer = await server.fastify.inject({
        method,
        url,
        headers: authorization === undefined ? {} : { authorization },
        remoteAddress: `127.0.2.${index}`,
      });
      assert.equal(answer.statusCode, 401, authorization);
      const wrong = authorization === 'Bearer wrong' || authorization === `Bearer ${ADMIN_TOKEN}x`;
      assert.equal(
        answer.headers['www-authenticate'],
        `Bearer realm="regindexer"${wrong ? ', error="invalid_token"' : ''}`,
      );
      assert.match(
        answer.json<RebuildBody>().message ?? '',
        wrong ? /^The token is wrong: server\.admin_token / : /^This route needs a token: .* server\.admin_token /,
      );
    }
    assert.deepEqual(server.queue.recent().length, method === 'POST' ? 0 : 1, 'and nothing happens');
    const lower = await server.fastify.inject({ method, url, headers: { authorization: `bearer ${ADMIN_TOKEN}` } });
    assert.equal(lower.statusCode, method === 'POST' ? 202 : 404);
  }
  assert.doesNotMatch(JSON.stringify(server.log), new RegExp(`${ADMIN_TOKEN}|wrong`));
});

test('without a configured token the routes are off', async (t) => {
  const { server } = await serve(t, { adminToken: undefined });
  for (const headers of [{}, bearer('undefined'), bearer(''), bearer(ADMIN_TOKEN)]) {
    const answer = await server.fastify.inject({ method: 'POST', url: '/reindex', headers });
    assert.equal(answer.statusCode, 403);
    assert.match(answer.json<RebuildBody>().message ?? '', /switched off: set server\.admin_token/);
    assert.equal((await server.fastify.inject({ url: '/reindex/some-id', headers })).statusCode, 403);
  }
});

test('an address may make ten requests per minute, successful or not', async (t) => {
  const { server } = await serve(t);
  const post = (token: string, remoteAddress: string) =>
    server.fastify.inject({ method: 'POST', url: '/reindex', headers: bearer(token), remoteAddress });
  const statuses: number[] = [];
  for (let i = 0; i < 10; i++) statuses.push((await post(i % 2 === 0 ? ADMIN_TOKEN : 'wrong', '10.0.0.1')).statusCode);
  assert.deepEqual(statuses, [202, 401, 202, 401, 202, 401, 202, 401, 202, 401]);
  const refused = await post(ADMIN_TOKEN, '10.0.0.1');
  assert.equal(refused.statusCode, 429);
  const seconds = Number(refused.headers['retry-after']);
  assert.ok(seconds > 0 && seconds <= 60);
  assert.equal(
    refused.json<RebuildBody>().message,
    `At most 10 of these requests a minute from one address; ask again in ${seconds} seconds.`,
  );
  assert.equal((await post(ADMIN_TOKEN, '10.0.0.2')).statusCode, 202, 'another address');
  assert.equal(
    (await server.fastify.inject({ url: '/reindex/none', headers: bearer(ADMIN_TOKEN), remoteAddress: '10.0.0.1' }))
      .statusCode,
    404,
    'looking is not limited',
  );
  assert.equal((await server.fastify.inject({ url: '/status', remoteAddress: '10.0.0.1' })).statusCode, 200);
});

test('guessing tokens is limited on GET too', async (t) => {
  const { server } = await serve(t);
  const get = (token: string) =>
    server.fastify.inject({ url: '/reindex/some-id', headers: bearer(token), remoteAddress: '10.0.0.1' });
  for (let i = 0; i < 10; i++) assert.equal((await get('wrong')).statusCode, 401);
  for (const token of ['wrong', ADMIN_TOKEN]) {
    const answer = await get(token);
    assert.equal(answer.statusCode, 429);
    assert.ok(Number(answer.headers['retry-after']) > 0);
  }
  assert.equal(
    (
      await server.fastify.inject({
        method: 'POST',
        url: '/reindex',
        headers: bearer(ADMIN_TOKEN),
        remoteAddress: '10.0.0.1',
      })
    ).statusCode,
    429,
  );

  // Many in one packet, the right one among them.
  using connection = RawConnection.open(await server.listen());
  const tokens = Array.from({ length: 50 }, (_, i) => (i === 30 ? ADMIN_TOKEN : `wrong${i}`));
  connection.send(
    tokens.map((token) => `GET /reindex/some-id HTTP/1.1\nhost: a\nauthorization: Bearer ${token}\n\n`).join(''),
  );
  const statuses: number[] = [];
  for (const _ of tokens) statuses.push((await connection.answer()).statusCode);
  assert.equal(statuses[30], 429);
  assert.ok(statuses.every((status) => status === 429 || status === 401));
  assert.ok(statuses.filter((status) => status === 401).length <= 10);
});

test('behind a trusted proxy, the address is that of the client', async (t) => {
  const { server } = await serve(t, { trustProxy: true });
  const post = (client: string) =>
    server.fastify.inject({
      method: 'POST',
      url: '/reindex',
      headers: { ...bearer(ADMIN_TOKEN), 'x-forwarded-for': client },
    });
  for (let i = 0; i < 10; i++) await post('192.0.2.1');
  assert.deepEqual([(await post('192.0.2.1')).statusCode, (await post('192.0.2.2')).statusCode], [429, 202]);
});

test('a client that disconnects does not cancel the rebuild', async (t) => {
  const { state, server } = await serve(t);
  const port = await server.listen();
  const held = state.registry.hold({ method: 'repositories' });
  const connected = once(server.fastify.server, 'connection') as Promise<[Socket]>;
  const client = RawConnection.open(port);
  client.send(`POST /reindex?wait=true HTTP/1.1\nhost: a\nauthorization: Bearer ${ADMIN_TOKEN}\ncontent-length: 0\n\n`);
  const [socket] = await connected;
  await held.reached;
  const closed = once(socket, 'close');
  client.socket.destroy();
  await closed;
  const rebuilt = server.rebuilt();
  held.release();
  await rebuilt;
  assert.deepEqual(
    server.queue.recent().map(({ state: its }) => its),
    ['done'],
  );
  assert.equal((await server.fastify.inject('/readyz')).statusCode, 200);
});
