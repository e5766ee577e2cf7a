/** Replicas tell each other that they live, and agree on which of them may lead. */
import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import type { ClientConfig } from 'pg';
import { allServe, mayLead, nextDeath, type ReplicaRow, Replicas } from '../../../src/store/postgres/replicas.ts';
import { needs } from '../../peers/installed.ts';
import { databases, opened, run } from './database.ts';
import { FaultyProxy } from './faulty-proxy.ts';

const ids = (replicas: readonly ReplicaRow[]): readonly string[] => replicas.map(({ id }) => id);
const leaders = (replicas: readonly ReplicaRow[]): readonly string[] =>
  ids(replicas).filter((id) => mayLead(replicas, id));

function rowOf(shown: ReplicaRow['shown'], changes: Partial<ReplicaRow> = {}): ReplicaRow {
  return {
    id: '',
    name: '',
    version: '',
    format: 2,
    configuration: '',
    configured: 0,
    started: 0,
    seen: 0,
    living: true,
    shown,
    ...changes,
  };
}

suite('replicas', needs('postgres'), () => {
  const createDatabase = databases();

  interface Fleet {
    readonly start: (
      id: string,
      configuration: string,
      changes?: { name?: string; format?: number },
    ) => Promise<Started>;
    /** Lets the replica's last sign of life be that long ago. */
    readonly age: (id: string, seconds: number) => Promise<void>;
  }

  /** A replica, and the configuration that it has. */
  interface Started {
    readonly replicas: Replicas;
    beat(configuration?: string): Promise<readonly ReplicaRow[]>;
  }

  async function fleet(t: TestContext): Promise<Fleet> {
    const connection: ClientConfig = await createDatabase();
    const database = opened(t, connection);
    return {
      start: async (id, configuration, { name = `host of ${id}`, format = 1 } = {}) => {
        const replicas = new Replicas(database, { id, name, version: '1.2.3', format });
        const started = {
          replicas,
          beat: (now = configuration) => replicas.beat({ configuration: now, shown: {} }),
        };
        await started.beat();
        return started;
      },
      age: async (id, seconds) => {
        await run(connection, `UPDATE replica SET seen = seen - $2 * interval '1 second' WHERE id = $1`, [id, seconds]);
      },
    };
  }

  test('each sees all, with what they have and when they were last seen', async (t) => {
    const database = opened(t, await createDatabase());
    const before = Date.now();
    const one = new Replicas(database, { id: 'one', name: 'host-1', version: '1.2.3', format: 1 });
    const [alone] = await one.beat({ configuration: 'c1', shown: { apps: 1 } });
    assert.ok(alone !== undefined && alone.started >= before - 1 && alone.seen <= Date.now() + 1);
    const { started, seen, configured, ...rest } = alone;
    assert.ok(started <= configured && configured <= seen);
    assert.deepEqual(rest, {
      id: 'one',
      name: 'host-1',
      version: '1.2.3',
      format: 1,
      configuration: 'c1',
      shown: { apps: 1 },
      living: true,
    });
    const two = new Replicas(database, { id: 'two', name: 'host-2', version: '1.2.4', format: 2 });
    assert.deepEqual(ids(await two.beat({ configuration: 'c1', shown: {} })), ['one', 'two']);
    await two.show({ apps: 2 });
    const [again, other] = await one.beat({ configuration: 'c1', shown: { apps: 1 } });
    assert.deepEqual(other?.shown, { apps: 2 });
    assert.ok(again !== undefined && again.seen > seen);
    assert.deepEqual([again.started, again.configured], [started, configured]);
    await two.leave();
    assert.deepEqual(ids(await one.beat({ configuration: 'c1', shown: {} })), ['one']);
  });

  test('a connection that hangs costs one sign of life', async (t) => {
    const connection = await createDatabase();
    const proxy = await FaultyProxy.start(t, connection.port);
    const database = opened(t, { ...connection, port: proxy.port, max: 1, query_timeout: 1000 });
    const replicas = new Replicas(database, { id: 'one', name: 'host-1', version: '1.2.3', format: 1 });
    const state = { configuration: 'c1', shown: {} };
    await replicas.beat(state);
    proxy.hang();
    await assert.rejects(replicas.beat(state), { name: 'StoreError', code: 'unavailable' });
    assert.deepEqual(ids(await replicas.beat(state)), ['one']);
  });

  test('one that was not seen for 6 s is taken for dead, and after an hour it is forgotten', async (t) => {
    const { start, age } = await fleet(t);
    const one = await start('one', 'c1');
    const two = await start('two', 'c1');
    assert.ok(nextDeath(await two.beat(), 'two') > 5_000);
    await age('one', 5);
    const late = await two.beat();
    assert.deepEqual(
      late.map(({ living }) => living),
      [true, true],
    );
    assert.ok(nextDeath(late, 'two') <= 1_020);
    await age('one', 2);
    assert.deepEqual(
      (await two.beat()).map(({ living }) => living),
      [false, true],
    );
    assert.deepEqual(
      (await one.beat()).map(({ living }) => living),
      [true, true],
    );
    await age('one', 3601);
    assert.deepEqual(ids(await two.beat()), ['two']);
    assert.deepEqual(ids(await two.beat()), ['two']);
  });

  test('a configuration leads from its first replica on, when it comes and when it is taken back', async (t) => {
    const { start } = await fleet(t);
    const [one, two] = [await start('one', 'c1'), await start('two', 'c1')];
    assert.deepEqual(leaders(await two.beat()), ['one', 'two']);
    await one.replicas.leave();
    const newer = await start('newer one', 'c2');
    assert.deepEqual(leaders(await newer.beat()), ['newer one']);
    // A reload changes it within one process.
    assert.deepEqual(leaders(await two.beat('c2')), ['two', 'newer one']);
    assert.deepEqual(leaders(await two.beat('c1')), ['two']);
    assert.deepEqual(leaders(await newer.beat('c1')), ['two', 'newer one']);
  });

  test('a newer format leads, whatever came last; without its replicas the older one does', async (t) => {
    const { start, age } = await fleet(t);
    const old = await start('old', 'c1');
    await start('new', 'c1', { format: 2 });
    assert.deepEqual(leaders(await old.beat('c2')), ['new']);
    await age('new', 7);
    assert.deepEqual(leaders(await old.beat()), ['old']);
  });

  test('when the newest crashes the others lead, and again it once it is back', async (t) => {
    const { start, age } = await fleet(t);
    const old = await start('old', 'c1');
    await start('new', 'c2');
    assert.deepEqual(leaders(await old.beat()), ['new']);
    await age('new', 7);
    assert.deepEqual(leaders(await old.beat()), ['old']);
    await start('new again', 'c2', { name: 'host of new' });
    assert.deepEqual(leaders(await old.beat()), ['new again']);
  });

  test('one that crashed and is back with its configuration brings none, even if it was back at once', async (t) => {
    const { start, age } = await fleet(t);
    await start('old', 'c1');
    const newer = await start('new', 'c2');
    const again = await start('old again', 'c1', { name: 'host of old' });
    await age('old', 7);
    const replicas = await again.beat();
    assert.deepEqual(ids(replicas), ['new', 'old again']);
    assert.deepEqual(leaders(replicas), ['new']);
    assert.deepEqual(leaders(await newer.beat()), ['new']);
  });

  test('one that was away for so long that it was forgotten brings nothing new', async (t) => {
    const { start, age } = await fleet(t);
    const old = await start('old', 'c1');
    const newer = await start('new', 'c2');
    await age('old', 3601);
    assert.deepEqual(ids(await newer.beat()), ['new']);
    assert.deepEqual(leaders(await old.beat()), ['new']);
  });
});

test('a result is served once all do that live, read its format and have the index', () => {
  const versions = new Map([
    ['apps', 5],
    ['more', 7],
  ]);
  const current = rowOf({ apps: 5, more: 8 });
  assert.equal(allServe([current], versions, 2), true);
  assert.equal(allServe([current, rowOf({ apps: 5, more: 6 })], versions, 2), false);
  const others = [
    rowOf({ apps: 5 }),
    rowOf({}),
    rowOf({ apps: 4 }, { living: false }),
    rowOf({ apps: 4 }, { format: 1 }),
  ];
  assert.equal(allServe([current, ...others], versions, 2), true);
});

test('whatever starts, crashes and changes, the newest may lead, and nobody who may waits for another', () => {
  const event = fc.record({
    replica: fc.nat(4),
    kind: fc.constantFrom('start', 'change', 'crash'),
    configuration: fc.constantFrom('c1', 'c2', 'c3'),
    format: fc.integer({ min: 1, max: 2 }),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      const rows = new Map<number, ReplicaRow>();
      for (const [time, { replica, kind, configuration, format }] of events.entries()) {
        const row = rows.get(replica);
        if (kind === 'crash') {
          if (row !== undefined) rows.set(replica, { ...row, living: false });
        } else {
          const changed = row?.configuration !== configuration;
          rows.set(replica, {
            id: String(replica),
            name: '',
            version: '',
            format: kind === 'change' && row !== undefined ? row.format : format,
            configuration,
            configured: changed ? time : row.configured,
            started: 0,
            seen: 0,
            living: true,
            shown: {},
          });
        }
        const replicas = [...rows.values()];
        const able = replicas.filter(({ id }) => mayLead(replicas, id));
        const living = replicas.filter((each) => each.living);
        assert.equal(able.length > 0, living.length > 0);
        assert.ok(able.every((each) => each.living));
        // Those that may lead agree in all that matters, so that whoever of them does, the others have what they need.
        assert.ok(new Set(able.map((each) => `${each.format} ${each.configuration}`)).size <= 1);
        const highest = Math.max(...living.map((each) => each.format));
        const [newest] = living
          .filter((each) => each.format === highest)
          .toSorted((a, b) => b.configured - a.configured);
        assert.ok(newest === undefined || able.includes(newest));
      }
    }),
  );
});
