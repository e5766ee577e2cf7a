/** What a server tells of the replicas that share its store. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SharedState } from '../../src/server/site.ts';
import { TestState } from '../indexing/test-state.ts';
import { ADMIN_TOKEN, bearer, TestServer } from './test-server.ts';

const SECOND = Date.UTC(2026, 0, 1);
const REPLICA = {
  version: '1.2.3',
  configuration: 'hash',
  configuredAt: SECOND,
  startedAt: SECOND,
  seenAt: SECOND,
  living: true,
  leads: false,
  self: false,
};
const STATE: SharedState = {
  store: { available: true, since: SECOND },
  ledSince: SECOND,
  leads: true,
  lag: 0,
  replicas: [
    { ...REPLICA, name: 'one', leads: true, self: true },
    { ...REPLICA, name: 'two' },
    { ...REPLICA, name: 'crashed', living: false },
  ],
  notReady: undefined,
};

test('a replica that is behind is not ready, says why, and is measured', async (t) => {
  const state = await TestState.open(t);
  let shared = STATE;
  const server = await TestServer.create(t, state, {
    sharing: { catchUp: async () => {}, state: () => shared },
  });
  await server.rebuild();
  const { fastify } = server;
  const metric = async (name: string): Promise<number> => {
    const { body } = await fastify.inject('/metrics');
    return Number(new RegExp(`^${name} (.+)$`, 'm').exec(body)?.[1]);
  };
  assert.equal((await fastify.inject('/readyz')).statusCode, 200);
  assert.deepEqual(
    [
      await metric('regindexer_replicas'),
      await metric('regindexer_leader'),
      await metric('regindexer_store_available'),
    ],
    [2, 1, 1],
  );

  shared = {
    ...STATE,
    store: { available: false, since: SECOND },
    ledSince: undefined,
    leads: false,
    lag: 31,
    notReady: 'What is served is 31 s older than what is published.',
  };
  const ready = await fastify.inject('/readyz');
  assert.deepEqual(
    [ready.statusCode, ready.headers['retry-after'], ready.json<{ message: string }>().message],
    [503, '1', 'What is served is 31 s older than what is published.'],
  );
  assert.equal((await fastify.inject('/healthz')).statusCode, 200);
  assert.deepEqual(
    [
      await metric('regindexer_replica_lag_seconds'),
      await metric('regindexer_leader'),
      await metric('regindexer_store_available'),
    ],
    [31, 0, 0],
  );
  const status = { url: '/status', headers: bearer(ADMIN_TOKEN) };
  const { sharing } = (await fastify.inject(status)).json<{ sharing: object }>();
  const time = '2026-01-01T00:00:00.000Z';
  const shown = { ...REPLICA, configuredAt: time, startedAt: time, seenAt: time };
  assert.deepEqual(sharing, {
    database: { available: false, since: time },
    lag: 31,
    notReady: shared.notReady,
    replicas: [
      { ...shown, name: 'one', leads: true, self: true },
      { ...shown, name: 'two' },
      { ...shown, name: 'crashed', living: false },
    ],
  });
});

test('a server alone tells of no replicas', async (t) => {
  const server = await TestServer.create(t, await TestState.open(t));
  await server.rebuild();
  assert.equal('sharing' in (await server.fastify.inject('/status')).json<object>(), false);
  assert.doesNotMatch((await server.fastify.inject('/metrics')).body, /regindexer_(?:replicas|leader|store_available)/);
});
