import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryRegistry } from '../sources/memory-registry.ts';
import { named, TestState } from '../indexing/test-state.ts';
import { ADMIN_TOKEN, bearer, TestServer } from './test-server.ts';

test('the service is alive at once, and ready when every index is built', async (t) => {
  const state = await TestState.open(t, { definitions: [{ name: 'apps' }, { name: 'more' }] });
  state.registry.pushImage('apps/clock', 'latest', named('clock'));
  const server = await TestServer.create(t, state, { indexes: ['apps', 'more'] });
  for (const url of ['/healthz', '/readyz'])
    assert.equal((await server.fastify.inject(url)).headers['cache-control'], 'no-store');
  assert.deepEqual((await server.fastify.inject('/healthz')).json(), { status: 'ok' });
  const before = await server.fastify.inject('/readyz');
  assert.equal(before.statusCode, 503);
  assert.equal(before.headers['retry-after'], '1');
  assert.deepEqual(before.json(), {
    statusCode: 503,
    error: 'Service Unavailable',
    message: 'Not built yet: apps, more. See /status for the reason.',
    missing: ['apps', 'more'],
  });
  await server.rebuild();
  const after = await server.fastify.inject('/readyz');
  assert.deepEqual([after.statusCode, after.json()], [200, { status: 'ready' }]);
});

test('the status has each index, the rebuilds and the events', async (t) => {
  const state = await TestState.open(t);
  const server = await TestServer.create(t, state);
  const status = async () =>
    (await server.fastify.inject({ url: '/status', headers: bearer(ADMIN_TOKEN) })).json<
      Record<string, unknown> & { indexes: Record<string, unknown>[]; rebuilds: Record<string, unknown>[] }
    >();
  const empty = await status();
  assert.equal(empty['version'], '1.2.3');
  assert.equal(empty['startedAt'], '1970-01-01T00:00:00.000Z');
  assert.deepEqual(empty.indexes, [
    { name: 'apps', registry: state.registry.id, file: '/index/apps-file.json', ready: false, warnings: [] },
  ]);
  assert.deepEqual(
    [empty['rebuilds'], empty['bus'], empty['events']],
    [[], null, { triggered: 0, ignored: 0, malformed: 0 }],
  );
  const registry = { registry: state.registry.id, indexes: ['apps'], listedBy: 'catalog' };
  assert.deepEqual(empty['registries'], [{ ...registry, notifications: { triggered: 0 } }], 'no notification came');
  const { p99, max } = empty['eventLoopDelay'] as { p99: number; max: number };
  assert.ok(p99 >= 0 && max >= p99 && max < 60_000);

  state.registry.pushImage('apps/clock', 'latest', named('clock'));
  await server.fastify.inject({ method: 'POST', url: '/reindex?wait=true', headers: bearer(ADMIN_TOKEN) });
  const done = await status();
  const [index] = done.indexes;
  assert.deepEqual(
    [index?.['ready'], index?.['images'], index?.['bytes']],
    [true, 1, Buffer.byteLength(await state.text())],
  );
  assert.equal(`"${String(index?.['etag'])}"`, (await server.fastify.inject('/index/apps-file.json')).headers.etag);
  assert.deepEqual(
    done.rebuilds.map(({ state: its, reasons }) => [its, reasons]),
    [['done', ['POST /reindex from 127.0.0.1']]],
  );
  const { id, state: its, changed, seconds } = (index?.['lastRebuild'] ?? {}) as Record<string, unknown>;
  assert.deepEqual([id, its, changed], [done.rebuilds[0]?.['id'], 'done', true]);
  assert.ok(typeof seconds === 'number' && seconds > 0);
  assert.equal((await server.fastify.inject('/status')).headers['cache-control'], 'no-store');

  state.registry.fail({ repository: 'apps/clock' });
  await server.fastify.inject({ method: 'POST', url: '/reindex?wait=true', headers: bearer(ADMIN_TOKEN) });
  const failed = await status();
  assert.match(JSON.stringify(failed.indexes[0]?.['lastRebuild']), /"error":"[^"]*apps\/clock/);
  assert.equal(failed.indexes[0]?.['ready'], true);
  assert.deepEqual(
    failed.rebuilds.map(({ state: state_ }) => state_),
    ['queued', 'failed', 'done'],
    'and it is tried again',
  );
  assert.doesNotMatch(JSON.stringify(failed), new RegExp(ADMIN_TOKEN));
});

test('whoever has no admin token sees no hosts: neither those of the registry nor of errors, brokers and replicas', async (t) => {
  const registryPublic = 'https://registry.example.org/';
  const registry = 'http://inner.example.net:5000';
  const state = await TestState.open(t, {
    registries: [new MemoryRegistry({ id: registry })],
    definitions: [{ registry, registryPublic }],
  });
  const server = await TestServer.create(t, state, {
    bus: {
      state: 'connecting',
      url: 'amqps://broker.inner.example.net',
      since: 0,
      destinations: ['updates'],
      messages: { triggered: 0, ignored: 0, malformed: 0 },
      reconnects: 1,
      lastError: { message: 'broker.inner.example.net refused the login', at: 0 },
    },
    warnings: [
      'inner.example.net:5000 lists nothing',
      'the index stays as it was: apps/clock could not be read: GET https://login.inner.example.net/token: timed out',
      'org.example.App needs a runtime',
    ],
    sharing: {
      catchUp: async () => undefined,
      state: () => ({
        store: { available: true, since: 0 },
        ledSince: 0,
        leads: true,
        lag: 0,
        notReady: undefined,
        replicas: [
          {
            name: 'host.inner.example.net:8080',
            version: '1.2.3',
            configuration: 'c',
            configuredAt: 0,
            startedAt: 0,
            seenAt: 0,
            living: true,
            leads: true,
            self: true,
          },
        ],
      }),
    },
  });
  state.registry.pushImage('apps/clock', 'latest', named('clock'));
  const reindex = () =>
    server.fastify.inject({ method: 'POST', url: '/reindex?wait=true', headers: bearer(ADMIN_TOKEN) });
  await reindex();
  state.registry.fail({ repository: 'apps/clock' });
  await reindex();
  const ask = (headers = {}) => server.fastify.inject({ url: '/status', headers });
  const open = await ask();
  assert.doesNotMatch(open.payload, /inner|127\.0\.0\.1/);
  const { indexes, registries, rebuilds, bus, sharing } = open.json<{
    registries: { registry: string }[];
    indexes: { registry: string; warnings: string[]; lastRebuild: { error: string } }[];
    rebuilds: { registry: string; reasons: string[]; error?: string; state: string }[];
    bus: { lastError: { message: string } };
    sharing: { replicas: { name: string }[] };
  }>();
  assert.deepEqual([indexes[0]?.registry, indexes[0]?.warnings], [registryPublic, ['org.example.App needs a runtime']]);
  assert.equal(registries[0]?.registry, registryPublic);
  const hidden = 'It failed. The reason is for administrators: ask with the admin token, or see the log.';
  assert.equal(indexes[0]?.lastRebuild.error, hidden);
  const failed = rebuilds.find(({ state: its }) => its === 'failed');
  assert.deepEqual([failed?.registry, failed?.reasons, failed?.error], [registryPublic, ['POST /reindex'], hidden]);
  assert.equal(bus.lastError.message, hidden);
  assert.deepEqual(
    sharing.replicas.map(({ name }) => name),
    ['replica 1'],
  );

  const all = await ask(bearer(ADMIN_TOKEN));
  for (const said of [
    'http://inner.example.net:5000',
    'broker.inner',
    'host.inner',
    'apps/clock',
    '127.0.0.1',
    'lists nothing',
  ])
    assert.ok(all.payload.includes(said), said);
  assert.equal((await ask(bearer('wrong'))).statusCode, 401);
});

test('without an admin token in the configuration, everybody sees the same', async (t) => {
  const server = await TestServer.create(t, await TestState.open(t), { adminToken: undefined });
  assert.equal((await server.fastify.inject({ url: '/status', headers: bearer('any') })).statusCode, 200);
});
