import assert from 'node:assert/strict';
import { test } from 'node:test';
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
    (await server.fastify.inject('/status')).json<
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
