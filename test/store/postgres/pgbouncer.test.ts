/** All that a replica does works through PgBouncer, where each transaction may get another connection. */
import assert from 'node:assert/strict';
import { once, EventEmitter } from 'node:events';
import { suite, test } from 'node:test';
import { fence, Leadership } from '../../../src/store/postgres/lease.ts';
import { PostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { RebuildRows } from '../../../src/store/postgres/rebuild-rows.ts';
import { Replicas } from '../../../src/store/postgres/replicas.ts';
import { needs } from '../../peers/installed.ts';
import { startPgbouncer } from '../../peers/pgbouncer.ts';
import { startPostgresql } from '../../peers/postgresql.ts';
import { opened, takeFor } from './database.ts';

suite('through PgBouncer in transaction mode', needs('postgres', 'pgbouncer'), () => {
  test('one leads, what it commits is read, and what it writes when deposed is refused', async (t) => {
    const server = await startPostgresql();
    t.after(() => server[Symbol.asyncDispose]());
    const direct = await server.createDatabase();
    const pgbouncer = await startPgbouncer(direct);
    t.after(() => pgbouncer[Symbol.asyncDispose]());
    const connection = pgbouncer.through(direct);

    const events = new EventEmitter();
    const store = await PostgresStore.open(connection, {
      format: '',
      fence: (query, name) => fence(query, leadership.lease ?? assert.fail('it does not lead'), name),
    });
    t.after(() => store.close());
    const leadership = new Leadership({
      connection,
      holder: 'one',
      lifetime: 1500,
      interval: 300,
      onAcquired: () => events.emit('acquired'),
      onLost: () => events.emit('lost'),
    });
    t.after(() => leadership.stop());
    const acquired = once(events, 'acquired');
    leadership.start();
    await acquired;
    const commit = (taken: string): Promise<void> =>
      store.catalog.commit(taken, [{ kind: 'scanned', taken: [taken] }], () => []);
    // More at once than there may be connections to the server.
    const registries = Array.from({ length: 30 }, (_, place) => `registry ${place}`);
    await Promise.all(registries.map(commit));
    const scanned = await Promise.all(registries.map((registry) => store.catalog.scanned(registry)));
    assert.deepEqual(
      scanned,
      registries.map((registry) => [registry]),
    );
    assert.deepEqual([...(await store.catalog.known('registry 1')).repositories], []);

    const database = opened(t, connection, leadership.lease);
    const replicas = new Replicas(database, { id: 'one', name: 'host', version: '1.2.3', format: 1 });
    assert.equal((await replicas.beat({ configuration: 'c', shown: {} })).length, 1);
    const rows = new RebuildRows(database);
    await rows.ask({ id: 'request', kind: 'request', reason: 'test', scope: {} });
    const asked = await rows.waiting();
    await rows.write(
      { kind: 'state', id: 'rebuild', rebuild: { state: 'done' }, isLive: false },
      ...asked.map(({ id }) => ({ kind: 'ended', request: id }) as const),
    );
    assert.deepEqual((await rows.changedSince(0)).rebuilds, [{ state: 'done' }]);
    assert.equal((await rows.get('request'))?.ended, true);

    const { lease } = leadership;
    const lost = once(events, 'lost');
    await takeFor(direct, 'two');
    const deposed = await PostgresStore.open(connection, {
      format: '',
      fence: (query, name) => fence(query, lease ?? assert.fail(), name),
    });
    t.after(() => deposed.close());
    await assert.rejects(deposed.catalog.clearDirty('apps', 1), { name: 'StoreError', code: 'deposed' });
    await lost;
  });
});
