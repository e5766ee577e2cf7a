/** Replicas hear of changes at once; where they cannot, they poll; and they know whether the database answers. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { suite, test, type TestContext } from 'node:test';
import type { ClientConfig } from 'pg';
import { StoreChanges } from '../../../src/store/postgres/changes.ts';
import { needs } from '../../peers/installed.ts';
import { startPgbouncer } from '../../peers/pgbouncer.ts';
import { startPostgresql } from '../../peers/postgresql.ts';
import { createDatabase as createDatabaseOn, databases, opened, run } from './database.ts';
import { FaultyProxy } from './faulty-proxy.ts';

/** Shorter than in use, so that the tests are; but for `arrival`, so that a busy machine is not taken for PgBouncer. */
const OFTEN = { poll: 50, pollAlone: 20, retry: 50, arrival: 10_000, answer: 2000 };
/** So long that nothing is found by polling. */
const NEVER = { ...OFTEN, poll: 600_000, pollAlone: 600_000 };

/** Follows changes until the test ends; keeps their events, and tells of each poll. */
class Follower extends EventEmitter<{ polled: [] }> {
  readonly changes: StoreChanges;
  readonly events: string[] = [];

  constructor(t: TestContext, connection: ClientConfig, times: typeof OFTEN, poll = async () => {}) {
    super();
    this.changes = new StoreChanges({
      connection,
      database: opened(t, connection),
      times,
      poll: async () => {
        this.emit('polled');
        await poll();
      },
    });
    for (const event of ['lost', 'back', 'polling'] as const) this.changes.on(event, () => this.events.push(event));
    t.after(() => this.changes.stop());
  }

  /** Starts, and waits for the first poll: from then on it listens. */
  async start(): Promise<void> {
    const polled = once(this, 'polled');
    this.changes.start();
    await polled;
  }

  async polls(times: number): Promise<void> {
    for (let time = 0; time < times; time++) await once(this, 'polled');
  }
}

async function notify(connection: ClientConfig, payload: string): Promise<void> {
  await run(connection, `SELECT pg_notify('regindexer', $1)`, [payload]);
}

suite('changes', needs('postgres'), () => {
  const createDatabase = databases();

  test('what is told is handed on, and what is not a JSON object is ignored', async (t) => {
    const connection = await createDatabase();
    const follower = new Follower(t, connection, NEVER);
    const heard: unknown[] = [];
    follower.changes.on('change', (payload) => heard.push(payload));
    await follower.start();
    for (const payload of ['', 'no JSON', '3', 'null', '[1]', '{"request": true}']) await notify(connection, payload);
    await notify(connection, '{"last": 1}');
    while (heard.length < 2) await once(follower.changes, 'change');
    assert.deepEqual(heard, [{ request: true }, { last: 1 }]);
    assert.deepEqual([follower.events, follower.changes.available], [[], true]);
  });

  test('it polls all the same', async (t) => {
    const follower = new Follower(t, await createDatabase(), OFTEN);
    const before = Date.now();
    await follower.start();
    await follower.polls(3);
    const { available, since } = follower.changes;
    assert.ok(available && since >= before && since <= Date.now());
    assert.deepEqual(follower.events, []);
  });

  test('it does not poll again while a poll runs, and stops without waiting for one', async (t) => {
    const connection = await createDatabase();
    let polls = 0;
    const follower = new Follower(t, connection, { ...OFTEN, poll: 1 }, () => {
      polls++;
      return new Promise(() => {});
    });
    await follower.start();
    // Each takes many times the interval.
    for (let time = 0; time < 3; time++) {
      const heard = once(follower.changes, 'change');
      await notify(connection, '{}');
      await heard;
    }
    await follower.changes.stop();
    assert.equal(polls, 1);
  });

  test('a poll that fails is a database that does not answer, until one succeeds', async (t) => {
    const faults = [undefined, new Error('no answer'), new Error('still none')];
    const follower = new Follower(t, await createDatabase(), OFTEN, async () => {
      const fault = faults.shift();
      if (fault !== undefined) throw fault;
    });
    const back = once(follower.changes, 'back');
    const lost = once(follower.changes, 'lost');
    await follower.start();
    assert.equal(((await lost) as [Error])[0].message, 'no answer');
    assert.equal(follower.changes.available, false);
    await back;
    assert.equal(follower.changes.available, true);
    assert.deepEqual(follower.events, ['lost', 'back']);
  });

  test('a database that goes is lost once, and back once it is polled again; so is one that comes late', async (t) => {
    const own = await startPostgresql();
    t.after(() => own[Symbol.asyncDispose]());
    const connection = await createDatabaseOn(own);
    await own.stop();
    const late = new Follower(t, connection, OFTEN);
    const lateIsLost = once(late.changes, 'lost');
    late.changes.start();
    await lateIsLost;
    const lateIsBack = once(late.changes, 'back');
    await own.start();
    await lateIsBack;

    const follower = new Follower(t, connection, OFTEN);
    await follower.start();
    const lost = once(follower.changes, 'lost');
    const back = once(follower.changes, 'back');
    await own.stop();
    await lost;
    assert.equal(follower.changes.available, false);
    await own.start();
    await back;
    const heard = once(follower.changes, 'change');
    await notify(connection, '{"again": true}');
    assert.deepEqual(await heard, [{ again: true }]);
    assert.deepEqual(follower.events, ['lost', 'back']);
  });

  test('a connection that hangs is found and replaced', async (t) => {
    const connection = await createDatabase();
    const proxy = await FaultyProxy.start(t, connection.port);
    const follower = new Follower(t, { ...connection, port: proxy.port }, OFTEN);
    await follower.start();
    await follower.polls(2);
    const lost = once(follower.changes, 'lost');
    const back = once(follower.changes, 'back');
    proxy.hang();
    await lost;
    await back;
    const heard = once(follower.changes, 'change');
    await notify(connection, '{"again": true}');
    await heard;
    assert.deepEqual(follower.events, ['lost', 'back']);
  });
});

test(
  'behind PgBouncer in transaction mode it polls more often, and says so once',
  needs('postgres', 'pgbouncer'),
  async (t) => {
    const server = await startPostgresql();
    t.after(() => server[Symbol.asyncDispose]());
    const direct = await createDatabaseOn(server);
    const pgbouncer = await startPgbouncer(direct);
    t.after(() => pgbouncer[Symbol.asyncDispose]());
    const follower = new Follower(t, pgbouncer.through(direct), { ...NEVER, arrival: 200, pollAlone: 20 });
    const polling = once(follower.changes, 'polling');
    await follower.start();
    await polling;
    await follower.polls(3);
    const back = once(follower.changes, 'back');
    await pgbouncer.stop();
    await pgbouncer.start();
    await back;
    await follower.polls(3);
    assert.deepEqual(follower.events, ['polling', 'lost', 'back']);
    // The server's connections do not listen any more, and PgBouncer has nothing to complain of.
    await notify(direct, '{}');
    await follower.polls(3);
    assert.doesNotMatch(pgbouncer.logSinceStart, /got packet 'A'/);
  },
);
