/** Requests of all replicas reach a leader, and none is lost; all see what the leader does. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { suite, test, type TestContext } from 'node:test';
import type { ClientConfig } from 'pg';
import type { HeldLease } from '../../../src/store/postgres/lease.ts';
import type { PostgresDatabase } from '../../../src/store/postgres/postgres-database.ts';
import { RebuildRows } from '../../../src/store/postgres/rebuild-rows.ts';
import { needs } from '../../peers/installed.ts';
import { connected, databases, opened, run, takeFor } from './database.ts';
import { type CutMoment, FaultyProxy } from './faulty-proxy.ts';

interface Rebuild {
  readonly id: string;
  readonly state: 'running' | 'done' | 'failed';
}

type Rows = RebuildRows<{ readonly kind: string }, Rebuild>;

const EVERYTHING = { kind: 'everything' };

function rowsOf(database: PostgresDatabase): Rows {
  return new RebuildRows(database);
}

const ask = (rows: Rows, id: string, kind: 'request' | 'notification' = 'request'): Promise<void> =>
  rows.ask({ id, kind, reason: 'POST /reindex', scope: EVERYTHING });

const idsWaiting = async (rows: Rows): Promise<readonly string[]> => (await rows.waiting()).map(({ id }) => id);

/** Ends what others left, and does all that waits; says what it did. */
async function lead(rows: Rows, name: string): Promise<readonly string[]> {
  await rows.abandon((rebuild) => ({ ...rebuild, state: 'failed' }));
  const served: string[] = [];
  for (const { id } of await rows.waiting()) {
    const rebuild = { id: `${id} by ${name}`, state: 'running' } as const;
    await rows.write({ kind: 'begun', request: id, rebuild });
    await rows.write({ kind: 'state', id: rebuild.id, rebuild, isLive: true });
    served.push(id);
    await rows.write({ kind: 'state', id: rebuild.id, rebuild: { ...rebuild, state: 'done' }, isLive: false });
    await rows.write({ kind: 'ended', request: id, rebuild: { ...rebuild, state: 'done' } });
  }
  return served;
}

/** Leads through a proxy that cuts at a statement; says whether it was cut. */
async function leadUntilCut(
  t: TestContext,
  connection: ClientConfig,
  lease: HeldLease,
  statement: number,
  moment: CutMoment,
): Promise<boolean> {
  const proxy = await FaultyProxy.start(t, connection.port);
  proxy.cutAt(statement, moment);
  const database = opened(t, { ...connection, port: proxy.port }, lease);
  try {
    await lead(rowsOf(database), 'first');
    return false;
  } catch (error) {
    if (!proxy.isCut) throw error;
    return true;
  } finally {
    await database.close();
  }
}

suite('rows of rebuilds', needs('postgres'), () => {
  const createDatabase = databases();

  /** A replica that leads, one that does not, and a connection that listens. */
  async function replicas(t: TestContext): Promise<{ leader: Rows; other: Rows; heard: () => Promise<string> }> {
    const connection = await createDatabase();
    const lease = await takeFor(connection, 'leader');
    const listener = await connected(t, connection);
    await listener.query('LISTEN regindexer');
    return {
      leader: rowsOf(opened(t, connection, lease)),
      other: rowsOf(opened(t, connection)),
      heard: async () => {
        const [{ payload }] = (await once(listener, 'notification')) as [{ payload: string }];
        return payload;
      },
    };
  }

  test('what any replica asks for waits for the leader, in order, until it has ended', async (t) => {
    const { leader, other, heard } = await replicas(t);
    const notified = heard();
    await ask(other, 'first');
    assert.equal(await notified, '{"request": true}');
    await other.ask({ id: 'second', kind: 'notification', reason: 'a \0 and a \ud800', scope: EVERYTHING });
    // As after an answer that was lost.
    await ask(other, 'first');
    await ask(other, 'third', 'notification');
    const [first, second, ...more] = await leader.waiting();
    assert.ok(first !== undefined && second !== undefined && more.length === 1);
    const { asked, ...request } = first;
    assert.ok(Math.abs(Date.now() - asked) < 60_000);
    assert.deepEqual(request, { id: 'first', kind: 'request', reason: 'POST /reindex', scope: EVERYTHING });
    assert.equal(second.reason, 'a \0 and a \ud800');

    assert.deepEqual(await other.get('first'), { ended: false, rebuild: undefined, request: first });
    const running = { id: 'r', state: 'running' } as const;
    const begun = heard();
    await leader.write({ kind: 'begun', request: 'first', rebuild: running });
    assert.equal(await begun, '{"rebuilds": true}');
    assert.deepEqual(await other.get('first'), { ended: false, rebuild: running, request: first });
    assert.deepEqual(await idsWaiting(leader), ['first', 'second', 'third']);
    const done = { id: 'r', state: 'done' } as const;
    const ended = heard();
    await leader.write({ kind: 'ended', request: 'first', rebuild: done });
    assert.equal(await ended, '{"rebuilds": true}');
    assert.deepEqual(await other.get('first'), { ended: true, rebuild: done, request: first });
    await leader.write({ kind: 'ended', request: 'second' }, { kind: 'ended', request: 'third' });
    assert.equal(await other.get('second'), undefined);
    assert.deepEqual(await leader.waiting(), []);
  });

  test('a request that has ended stays as it is', async (t) => {
    const { leader, other } = await replicas(t);
    await ask(other, 'it');
    await leader.write({ kind: 'ended', request: 'it', rebuild: { id: 'r', state: 'done' } });
    await leader.write({ kind: 'begun', request: 'it', rebuild: { id: 'r', state: 'running' } });
    await leader.write({ kind: 'ended', request: 'it', rebuild: { id: 'r', state: 'failed' } });
    await ask(other, 'it');
    assert.deepEqual((await other.get('it'))?.rebuild, { id: 'r', state: 'done' });
    assert.deepEqual(await leader.waiting(), []);
  });

  test('all replicas follow the rebuilds', async (t) => {
    const { leader, other, heard } = await replicas(t);
    assert.deepEqual(await other.changedSince(0), { change: 0, rebuilds: [] });
    const notified = heard();
    await leader.write({ kind: 'state', id: 'r1', rebuild: { id: 'r1', state: 'running' }, isLive: true });
    assert.equal(await notified, '{"rebuilds": true}');
    await leader.write({ kind: 'state', id: 'r2', rebuild: { id: 'r2', state: 'running' }, isLive: true });
    const all = await other.changedSince(0);
    assert.deepEqual(
      all.rebuilds.map(({ id }) => id),
      ['r1', 'r2'],
    );
    await leader.write({ kind: 'state', id: 'r1', rebuild: { id: 'r1', state: 'done' }, isLive: false });
    const changed = await other.changedSince(all.change);
    assert.deepEqual(changed.rebuilds, [{ id: 'r1', state: 'done' }]);
    assert.ok(changed.change > all.change);
    assert.deepEqual(await other.changedSince(changed.change), { change: changed.change, rebuilds: [] });
    assert.deepEqual((await other.changedSince(0)).rebuilds, [
      { id: 'r2', state: 'running' },
      { id: 'r1', state: 'done' },
    ]);
    assert.deepEqual(await other.get('r1'), {
      ended: true,
      rebuild: { id: 'r1', state: 'done' },
      request: undefined,
    });
    assert.equal(await other.get('r3'), undefined);
  });

  test('one that follows misses nothing of what is put at the same time', async (t) => {
    const { leader, other } = await replicas(t);
    const ids = Array.from({ length: 200 }, (_, place) => `r${place}`);
    let isPut = false;
    const put = Promise.all(
      ids.map((id) => leader.write({ kind: 'state', id, rebuild: { id, state: 'running' }, isLive: true })),
    ).then(() => {
      isPut = true;
    });
    const seen: string[] = [];
    for (let [change, isLast] = [0, false]; !isLast;) {
      isLast = isPut;
      const changed = await other.changedSince(change);
      seen.push(...changed.rebuilds.map(({ id }) => id));
      change = changed.change;
    }
    await put;
    assert.deepEqual(seen.toSorted(), ids.toSorted());
  });

  test('of what has ended the last 100 requests and 50 rebuilds are kept, and all that is live', async (t) => {
    const { leader, other } = await replicas(t);
    await leader.write({ kind: 'state', id: 'live', rebuild: { id: 'live', state: 'running' }, isLive: true });
    await ask(other, 'waiting');
    for (let i = 0; i < 102; i++) {
      await ask(other, `request ${i}`);
      await leader.write({ kind: 'ended', request: `request ${i}`, rebuild: { id: '', state: 'done' } });
      if (i >= 50)
        await leader.write({ kind: 'state', id: `rebuild ${i}`, rebuild: { id: '', state: 'done' }, isLive: false });
    }
    const isKept = async (id: string): Promise<boolean> => (await other.get(id)) !== undefined;
    assert.deepEqual(await Promise.all(['request 1', 'request 2', 'waiting'].map(isKept)), [false, true, true]);
    assert.deepEqual(await Promise.all(['rebuild 51', 'rebuild 52', 'live'].map(isKept)), [false, true, true]);
    assert.equal((await other.changedSince(0)).rebuilds.length, 51);
  });

  test('a new leader ends what the last one left, and gets its requests', async (t) => {
    const connection = await createDatabase();
    const leader = rowsOf(opened(t, connection, await takeFor(connection, 'first')));
    await ask(leader, 'request');
    await leader.write({ kind: 'begun', request: 'request', rebuild: { id: 'r1', state: 'running' } });
    await leader.write({ kind: 'state', id: 'r1', rebuild: { id: 'r1', state: 'running' }, isLive: true });
    await leader.write({ kind: 'state', id: 'r0', rebuild: { id: 'r0', state: 'done' }, isLive: false });
    const next = rowsOf(opened(t, connection, await takeFor(connection, 'second')));
    const { change } = await next.changedSince(0);
    await next.abandon((rebuild) => ({ ...rebuild, state: 'failed' }));
    assert.deepEqual((await next.changedSince(change)).rebuilds, [{ id: 'r1', state: 'failed' }]);
    assert.equal((await next.get('r1'))?.ended, true);
    assert.deepEqual(await idsWaiting(next), ['request']);
    for (const write of [
      () => leader.write({ kind: 'begun', request: 'request', rebuild: { id: 'r2', state: 'running' } }),
      () => leader.write({ kind: 'ended', request: 'request' }),
      () => leader.write({ kind: 'state', id: 'r2', rebuild: { id: 'r2', state: 'running' }, isLive: true }),
      () => leader.abandon((rebuild) => rebuild),
    ])
      await assert.rejects(write(), { name: 'StoreError', code: 'deposed' });
    assert.deepEqual(await idsWaiting(next), ['request']);
    assert.equal(await next.get('r2'), undefined);
  });

  for (const moment of ['before', 'after'] as const)
    test(`a leader that is cut off ${moment} any statement loses no request`, async (t) => {
      const connection = await createDatabase();
      const observer = rowsOf(opened(t, connection));
      let cuts = 0;
      for (let statement = 1; ; statement++) {
        await run(connection, 'TRUNCATE request, rebuild');
        const asked = ['one', 'two'].map((id) => `${id} ${statement}`);
        for (const [place, id] of asked.entries()) await ask(observer, id, place === 1 ? 'notification' : 'request');
        const wasCut = await leadUntilCut(t, connection, await takeFor(connection, 'first'), statement, moment);
        // What it had not ended is there, and nothing else.
        const waiting = await idsWaiting(observer);
        assert.deepEqual(waiting, asked.slice(asked.length - waiting.length));
        const second = opened(t, connection, await takeFor(connection, 'second'));
        assert.deepEqual(await lead(rowsOf(second), 'second'), waiting);
        await second.close();
        assert.deepEqual(await idsWaiting(observer), []);
        const found = await Promise.all(asked.map((id) => observer.get(id)));
        assert.deepEqual(
          found.map((row) => row && [row.ended, row.rebuild?.state]),
          [[true, 'done'], undefined],
        );
        const { rebuilds } = await observer.changedSince(0);
        assert.ok(rebuilds.every(({ state }) => state !== 'running'));
        assert.ok(
          asked.every((id) => rebuilds.some((rebuild) => rebuild.id.startsWith(id) && rebuild.state === 'done')),
        );
        if (!wasCut) break;
        cuts++;
      }
      assert.ok(cuts > 30, `${cuts} cuts`);
    });

  for (const moment of ['before', 'after'] as const)
    test(`one that is cut off ${moment} it asks may ask again`, async (t) => {
      const connection = await createDatabase();
      const observer = rowsOf(opened(t, connection));
      for (let statement = 1, isCut = true; isCut; statement++) {
        const proxy = await FaultyProxy.start(t, connection.port);
        proxy.cutAt(statement, moment);
        await ask(rowsOf(opened(t, { ...connection, port: proxy.port })), `${statement}`).catch(() => undefined);
        isCut = proxy.isCut;
        await ask(observer, `${statement}`);
        assert.deepEqual(
          await idsWaiting(observer),
          Array.from({ length: statement }, (_, place) => String(place + 1)),
        );
      }
    });
});
