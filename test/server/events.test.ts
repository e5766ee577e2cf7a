import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import {
  asyncProperty,
  assert as assertProperty,
  constantFrom,
  dictionary,
  json,
  oneof,
  string,
  uint8Array,
} from 'fast-check';
import { request } from 'undici';
import { PartUnreadable } from '../../src/server/server-error.ts';
import { named, TestState } from '../indexing/test-state.ts';
import { ADMIN_TOKEN, bearer, EVENTS_TOKEN, type TestServerOptions, TestServer } from './test-server.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const TYPE = 'application/vnd.docker.distribution.events.v2+json';

async function serve(t: TestContext, options: TestServerOptions = {}) {
  const state = await TestState.open(t);
  state.registry.pushImage('apps/clock', 'latest', named('clock'));
  const server = await TestServer.create(t, state, options);
  const post = (payload: string | object | undefined, headers: Record<string, string> = { 'content-type': TYPE }) =>
    server.fastify.inject({
      method: 'POST',
      url: '/events',
      headers: { ...bearer(EVENTS_TOKEN), ...headers },
      ...(payload !== undefined && { payload: typeof payload === 'string' ? payload : JSON.stringify(payload) }),
    });
  /** Posts without a token. */
  const postAs = (headers: Record<string, string>, payload: string | Buffer = PUSH, url = '/events') =>
    server.fastify.inject({ method: 'POST', url, headers, payload });
  const counts = async () => (await server.fastify.inject('/status')).json<{ events: Record<string, number> }>().events;
  return { state, server, post, postAs, counts };
}

const push = (repository: string, tag?: string) => ({
  action: 'push',
  target: { mediaType: MANIFEST, repository, tag },
});
const PUSH = JSON.stringify({ events: [push('apps/clock', 'latest')] });
const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` });
const github = (signature: string) => ({ 'x-hub-signature-256': signature });
const hmac = (content: string | Buffer, key = EVENTS_TOKEN) => createHmac('sha256', key).update(content).digest('hex');

test('a push is answered at once and is in the index a moment later', async (t) => {
  const { state, server, post } = await serve(t);
  await server.rebuild();
  state.registry.pushImage('apps/hello', 'latest', named('hello'));
  const held = state.registry.hold({ repository: 'apps/hello' });
  const before = state.registry.requests;
  const answer = await post({ events: [push('apps/hello', 'latest')] });
  assert.deepEqual([answer.statusCode, answer.json()], [202, { accepted: 1 }]);
  await held.reached;
  const rebuilt = server.rebuilt();
  held.release();
  await rebuilt;
  assert.match((await server.fastify.inject('/index/static')).payload, /"name":"hello"/);
  assert.deepEqual(server.queue.recent()[0]?.reasons, ['notification']);
  assert.ok(state.registry.requests - before <= 3, 'only its own tag was asked for');

  state.registry.deleteRepository('apps/hello', { stays: true });
  const deleted = server.rebuilt();
  await post({
    events: [{ action: 'delete', target: { repository: 'apps/hello', digest: `sha256:${'0'.repeat(64)}` } }],
  });
  await deleted;
  assert.doesNotMatch((await server.fastify.inject('/index/static')).payload, /"name":"hello"/);
});

test('events are counted; those that concern no index or change no tag are ignored', async (t) => {
  const { server, post, counts } = await serve(t, {
    wants: (repository, tag) => repository.startsWith('apps/') && tag !== 'devel',
  });
  const answer = await post({
    events: [
      push('apps/clock', 'latest'),
      push('apps/clock', 'devel'),
      push('other/app', 'latest'),
      push('apps/clock'),
      { action: 'pull', target: push('apps/clock', 'latest').target },
      'nonsense',
    ],
  });
  assert.deepEqual(answer.json(), { accepted: 1 });
  assert.deepEqual(await counts(), { triggered: 1, ignored: 4, malformed: 1 });
  assert.deepEqual(
    server.queue.recent().map(({ scope }) => [...scope.repositories]),
    [[['apps/clock', new Set(['latest'])]]],
  );
  assert.equal(server.log.filter(({ msg }) => /^a notification could not be understood: ./.test(msg)).length, 1);
});

test('the status says when the last notification for a registry came, of those that concern an index', async (t) => {
  const { server, post } = await serve(t, { wants: (repository) => repository.startsWith('apps/') });
  const notifications = async () =>
    (await server.fastify.inject('/status')).json<{ registries: { notifications: Record<string, unknown> }[] }>()
      .registries[0]?.notifications;
  await post({ events: [push('other/app', 'latest')] });
  await post('nonsense');
  await post(undefined);
  assert.deepEqual(await notifications(), { triggered: 0 });
  const before = Date.now();
  await post({ events: [push('apps/clock', 'latest'), push('apps/hello', 'latest')] });
  const { triggered, last } = (await notifications()) ?? {};
  assert.equal(triggered, 2);
  const came = Date.parse(String(last));
  assert.ok(came >= before && came <= Date.now(), String(last));
});

test('any body within the limit gets a 2xx, whatever its content type', async (t) => {
  const { post, counts, server } = await serve(t);
  let malformed = 0;
  for (const [payload, type] of [
    ['{', 'application/json'],
    ['\u0000\u0001', 'application/octet-stream'],
    ['<xml/>', 'text/xml'],
    ['[[]]', ''],
    ['{}', ';;;'],
    ['null', 'application'],
    ['events', 'multipart/form-data'],
    ['x'.repeat(1024 * 1024), TYPE],
    [`{"events":${'['.repeat(100_000)}`, TYPE],
    ['{"__proto__":{"events":[]}}', 'application/json'],
  ] as const) {
    const answer = await post(payload, { 'content-type': type });
    assert.equal(answer.statusCode, 202, type);
    assert.deepEqual(await counts(), { triggered: 0, ignored: 0, malformed: ++malformed });
  }
  const tooLarge = await post('x'.repeat(1024 * 1024 + 1));
  assert.equal(tooLarge.statusCode, 413);
  assert.equal(tooLarge.json<{ statusCode: number }>().statusCode, 413);
  assert.deepEqual(server.queue.recent(), []);
});

test('no request leads to an error of the server', async (t) => {
  const { postAs } = await serve(t);
  const text = oneof(
    string({ unit: 'binary-ascii' }),
    constantFrom('package', 'ping', 'sha256=', 'zotregistry.image.x'),
  );
  await assertProperty(
    asyncProperty(
      dictionary(
        constantFrom(
          'authorization',
          'x-hub-signature-256',
          'x-github-event',
          'x-gitea-event',
          'ce-type',
          'content-type',
        ),
        text.map((value) => value.replaceAll(/[^ -~]/g, '')),
      ),
      oneof(
        json().map((its) => Buffer.from(its)),
        uint8Array().map((its) => Buffer.from(its)),
      ),
      constantFrom('/events', `/events/${EVENTS_TOKEN}`),
      async (headers, body, url) => {
        const { statusCode } = await postAs(headers, body, url);
        assert.equal(statusCode, url === '/events' ? 401 : 202);
      },
    ),
    { numRuns: 200 },
  );
});

test('a test of the sender is answered, and is one line in the log', async (t) => {
  const { server, post, counts } = await serve(t);
  for (const [payload, headers] of [
    [{ zen: 'Keep it simple.', hook_id: 1 }, { 'x-github-event': 'ping' }],
    [{ id: '1', timestamp: '2026-01-01T00:00:00Z', action: 'ping' }, {}],
    ['', {}],
    [undefined, {}],
  ] as const) {
    const lines = server.log.length;
    const answer = await post(payload, headers);
    assert.deepEqual(
      [answer.statusCode, answer.json()],
      [202, { accepted: 0, message: 'The test has arrived, and so will notifications.' }],
    );
    const logged = server.log.slice(lines).filter(({ level }) => level >= 30);
    assert.deepEqual(
      logged.map(({ level, msg, address }) => [level, msg, address]),
      [[30, 'a test of the notifications has arrived', '127.0.0.1']],
    );
  }
  assert.deepEqual(await counts(), { triggered: 0, ignored: 4, malformed: 0 });
  assert.deepEqual(server.queue.recent(), []);
});

test('what is not understood is one warning of each kind a minute', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const { server, post, counts } = await serve(t);
  for (let i = 0; i < 5; i++) {
    await post({ build: i });
    await post([{ build: i }, 'nonsense']);
  }
  await post('{');
  t.mock.timers.tick(60_000);
  await post({ build: 6 });
  assert.deepEqual(
    server.log.filter(({ level }) => level === 40).map(({ msg, malformed, omitted }) => [msg, malformed, omitted]),
    [
      [
        'a notification could not be understood: it is from none of Distribution, Azure Container Registry, Harbor, Zot, Quay, Docker Hub, Artifactory, Gitea or Forgejo, GitHub',
        1,
        0,
      ],
      ['a notification could not be understood: it is not JSON', 1, 0],
      [
        'a notification could not be understood: it is from none of Distribution, Azure Container Registry, Harbor, Zot, Quay, Docker Hub, Artifactory, Gitea or Forgejo, GitHub',
        1,
        9,
      ],
    ],
  );
  assert.deepEqual(await counts(), { triggered: 0, ignored: 0, malformed: 17 });
});

test('a notification that cannot be taken now is refused, so that it is repeated', async (t) => {
  const { server, post, counts } = await serve(t);
  const events = { ...server.site.events, request: () => Promise.reject(new PartUnreadable()) };
  await server.server.use({ ...server.site, events });
  const answer = await post(PUSH);
  assert.deepEqual([answer.statusCode, answer.headers['retry-after']], [503, '1']);
  assert.deepEqual(await counts(), { triggered: 0, ignored: 0, malformed: 0 });
});

test('a large envelope does not block the thread', async (t) => {
  const { post, server } = await serve(t);
  const events = Array.from({ length: 18_000 }, (_, i) => ({ action: 'delete', target: { repository: `app${i}` } }));
  const before = process.threadCpuUsage();
  const answer = await post({ events });
  const took = process.threadCpuUsage(before).user / 1000;
  assert.deepEqual(answer.json(), { accepted: 18_000 });
  assert.ok(took < 1000, `it took ${took} ms`);
  assert.equal(server.queue.recent().length, 1);
});

test('notifications need the token', async (t) => {
  const { server, post, postAs } = await serve(t);
  for (const [headers, status, challenge] of [
    [{}, 401, ''],
    [bearer(EVENTS_TOKEN), 202],
    [{ authorization: `bearer  ${EVENTS_TOKEN} ` }, 202],
    [bearer('wrong'), 401, ', error="invalid_token"'],
    [bearer(ADMIN_TOKEN), 401, ', error="invalid_token"'],
    [bearer(''), 401, ''],
    [{ authorization: EVENTS_TOKEN }, 401, ''],
    [basic(`regindexer:${EVENTS_TOKEN}`), 202],
    [basic(`:${EVENTS_TOKEN}`), 202],
    [{ authorization: basic(`:${EVENTS_TOKEN}`).authorization.replace('Basic', 'BASIC') }, 202],
    [basic(`${EVENTS_TOKEN}:`), 401, ''],
    [basic(EVENTS_TOKEN), 401, ''],
    [basic(`regindexer:${EVENTS_TOKEN}:`), 401, ', error="invalid_token"'],
    [basic('regindexer:wrong'), 401, ', error="invalid_token"'],
    [{ authorization: 'Basic %%%' }, 401, ''],
  ] as const) {
    const answer = await postAs(headers);
    assert.equal(answer.statusCode, status, JSON.stringify(headers));
    if (challenge === undefined) continue;
    assert.equal(answer.headers['www-authenticate'], `Bearer realm="regindexer"${challenge}`, JSON.stringify(headers));
  }
  // There is no rate limit: registries send many, and others may share the address of one.
  for (let i = 0; i < 30; i++) assert.equal((await post({ events: [] })).statusCode, 202);
  for (let i = 0; i < 30; i++) assert.equal((await postAs(bearer('wrong'))).statusCode, 401);
  assert.equal((await post({ events: [] })).statusCode, 202);

  const { post: closed, postAs: closedAs } = await serve(t, { eventsToken: undefined });
  for (const answer of [
    await closed({ events: [] }),
    await closedAs({}),
    await closedAs({ 'x-hub-signature-256': `sha256=${hmac(PUSH, '')}` }),
    await closedAs({}, PUSH, '/events/undefined'),
  ]) {
    assert.equal(answer.statusCode, 403);
    assert.match(answer.json<{ message: string }>().message, /server\.events_token/);
  }
  assert.doesNotMatch(JSON.stringify(server.log), new RegExp(EVENTS_TOKEN));
});

test('a token of any characters is taken', async (t) => {
  const eventsToken = `!"#$%&'()*+,-./:;<=>?@[\\]^_\`{|}~aZ0`;
  const { postAs } = await serve(t, { eventsToken });
  assert.equal((await postAs(bearer(eventsToken))).statusCode, 202);
  assert.equal((await postAs(basic(`x:${eventsToken}`))).statusCode, 202);
  assert.equal((await postAs({ 'x-gitea-signature': hmac(PUSH, eventsToken) })).statusCode, 202);
  assert.equal((await postAs({}, PUSH, `/events/${encodeURIComponent(eventsToken)}`)).statusCode, 202);
});

test('a body may be signed with the token', async (t) => {
  const { server, postAs, counts } = await serve(t);
  const latin1 = Buffer.from(PUSH.replace('"action"', '"actor":"J\u00f6","action"'), 'latin1');
  const form = `payload=${encodeURIComponent(PUSH)}`;
  let triggered = 0;
  for (const [headers, payload] of [
    [github(`sha256=${hmac(PUSH)}`), PUSH],
    [{ 'x-gitea-signature': hmac(PUSH), ...github(`sha256=${hmac(PUSH)}`) }, PUSH],
    [{ 'x-forgejo-signature': hmac(PUSH) }, PUSH],
    [{ 'x-jfrog-event-auth': hmac(PUSH) }, PUSH],
    [{ 'x-jfrog-event-auth': EVENTS_TOKEN }, PUSH],
    [{ ...github(`sha256=${hmac(latin1)}`), 'content-type': 'application/json; charset=iso-8859-1' }, latin1],
    [{ ...github(`sha256=${hmac(form)}`), 'content-type': 'application/x-www-form-urlencoded' }, form],
    [{ 'x-gitea-signature': hmac(PUSH), 'content-type': 'application/x-www-form-urlencoded' }, form],
    // A proxy may have a login of its own.
    [{ ...github(`sha256=${hmac(PUSH)}`), ...basic('proxy:login') }, PUSH],
  ] as const) {
    const answer = await postAs(headers, payload);
    assert.deepEqual([answer.statusCode, answer.json()], [202, { accepted: 1 }], JSON.stringify(headers));
    triggered++;
  }
  assert.deepEqual(await counts(), { triggered, ignored: 0, malformed: 0 });

  for (const [headers, payload] of [
    [github(`sha256=${hmac(PUSH, ADMIN_TOKEN)}`), PUSH],
    [github(`sha256=${hmac('{}')}`), PUSH],
    [github(`sha256=${hmac(latin1.toString())}`), latin1],
    [github(`sha256=${hmac(PUSH)}0`), PUSH],
    [github('sha256='), PUSH],
    [github(EVENTS_TOKEN), PUSH],
    [
      { 'x-hub-signature': `sha1=${createHmac('sha1', EVENTS_TOKEN).update(PUSH).digest('hex')}`, ...github('x') },
      PUSH,
    ],
    [{ 'x-gitea-signature': hmac(PUSH).slice(0, 32) }, PUSH],
    [{ 'x-jfrog-event-auth': 'wrong' }, PUSH],
    [github(`sha256=${hmac('')}`), PUSH],
  ] as const) {
    const answer = await postAs(headers, payload);
    assert.equal(answer.statusCode, 401, JSON.stringify(headers));
    assert.equal(
      answer.json<{ message: string }>().message,
      'The signature is wrong: the secret of the sender must be the value of server.events_token in the configuration.',
    );
  }
  for (const headers of [{ 'x-hub-signature-256': '' }, { 'x-gitea-signature': '' }])
    assert.match((await postAs(headers)).json<{ message: string }>().message, /^This route needs a token: /);
  assert.deepEqual(await counts(), { triggered, ignored: 0, malformed: 0 });
  assert.equal((await postAs(github('x'), 'x'.repeat(1024 * 1024 + 1))).statusCode, 413);
  assert.doesNotMatch(JSON.stringify(server.log), new RegExp(EVENTS_TOKEN));
});

test('the token may stand in the path, and is shown nowhere', async (t) => {
  const { server } = await serve(t);
  const origin = `http://127.0.0.1:${await server.listen()}`;
  const secret = /events-token|another-secret/;
  for (const [method, path, status] of [
    ['POST', `/events/${EVENTS_TOKEN}`, 202],
    ['POST', `//events//${EVENTS_TOKEN}?x=1`, 202],
    ['POST', `/%65vents/${EVENTS_TOKEN}`, 202],
    ['POST', '/events/another-secret', 401],
    ['POST', `/events/${EVENTS_TOKEN}/`, 404],
    ['POST', `/events/${EVENTS_TOKEN}/more`, 404],
    ['POST', `/apps/events/${EVENTS_TOKEN}`, 404],
    ['POST', `/events/${EVENTS_TOKEN}%zz`, 404],
    ['POST', `/events/another-secret${'x'.repeat(600)}`, 404],
    ['GET', `/events/${EVENTS_TOKEN}`, 405],
  ] as const) {
    const answered = server.logged(/^answered$/);
    const { statusCode, body } = await request(`${origin}${path}`, {
      method,
      ...(method === 'POST' && { body: PUSH }),
    });
    assert.equal(statusCode, status, path);
    assert.doesNotMatch(await body.text(), secret, path);
    assert.match(String((await answered).url), /\/events\/+\[secret\](?:\?x=1)?$/, path);
  }
  assert.doesNotMatch(JSON.stringify(server.log), secret);
  assert.doesNotMatch((await server.fastify.inject('/metrics')).payload, secret);
  assert.doesNotMatch((await server.fastify.inject('/status')).payload, secret);
});
