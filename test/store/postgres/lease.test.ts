/** One of several replicas leads; what another one writes is refused. */
import assert from 'node:assert/strict';
import { once, EventEmitter } from 'node:events';
import { suite, test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import type { Client, ClientConfig } from 'pg';
import { digestOf } from '../../../src/registry/digest.ts';
import { fence, leader, Leadership, takeLease } from '../../../src/store/postgres/lease.ts';
import { queryOn } from '../../../src/store/postgres/postgres-database.ts';
import { PostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { needs } from '../../peers/installed.ts';
import { startPostgresql } from '../../peers/postgresql.ts';
import { connected, createDatabase as createDatabaseOn, databases, opened, run, takeFor } from './database.ts';
import { FaultyProxy } from './faulty-proxy.ts';

/** Shorter than in use, so that the tests are. */
const TIMES = { lifetime: 1500, interval: 300 };

suite('leadership', needs('postgres'), () => {
  const createDatabase = databases();

  class Replica extends EventEmitter<{ acquired: []; lost: [reason: string] }> {
    readonly leadership: Leadership;
    mayLead = true;

    constructor(t: TestContext, holder: string, connection: ClientConfig, times: Partial<typeof TIMES> = {}) {
      super();
      this.leadership = new Leadership({
        connection,
        holder,
        ...TIMES,
        ...times,
        mayLead: () => this.mayLead,
        onAcquired: () => this.emit('acquired'),
        onLost: (reason) => this.emit('lost', reason),
      });
      t.after(() => this.leadership.stop());
    }
  }

  /** Starts those that have not started, and waits until one of them leads. */
  function firstToLead(replicas: readonly Replica[]): Promise<Replica> {
    return Promise.race(
      replicas.map(async (replica) => {
        const acquired = once(replica, 'acquired');
        replica.leadership.start();
        await acquired;
        return replica;
      }),
    );
  }

  test('one of three leads; when it stops, another one does at once, with a higher term', async (t) => {
    const connection = await createDatabase();
    const replicas = ['one', 'two', 'three'].map((holder) => new Replica(t, holder, connection));
    const first = await firstToLead(replicas);
    assert.equal(replicas.filter(({ leadership }) => leadership.lease !== undefined).length, 1);
    const term = first.leadership.lease?.term ?? 0;
    const lost = once(first, 'lost');
    const next = firstToLead(replicas.filter((replica) => replica !== first));
    await first.leadership.stop();
    assert.deepEqual(await lost, ['this replica stops']);
    assert.ok(((await next).leadership.lease?.term ?? 0) > term);
  });

  test('one that may not lead any more frees the lease at once, and leads again when it may', async (t) => {
    const connection = await createDatabase();
    const { query } = opened(t, connection);
    assert.equal(await leader(query), undefined);
    const [one, two] = [new Replica(t, 'one', connection), new Replica(t, 'two', connection)];
    two.mayLead = false;
    const before = Date.now();
    await firstToLead([one, two]);
    for (const [leads, next] of [
      [one, two],
      [two, one],
      [one, two],
    ] as const) {
      const { holder } = leads.leadership.lease ?? assert.fail('it does not lead');
      const { since, left, ...rest } = (await leader(query)) ?? assert.fail('nobody leads');
      assert.deepEqual(rest, { holder, living: true });
      assert.ok(left > 0 && left <= TIMES.lifetime);
      assert.ok(since >= before - 1 && since <= Date.now() + 1);
      const lost = once(leads, 'lost');
      const acquired = once(next, 'acquired');
      leads.mayLead = false;
      next.mayLead = true;
      assert.deepEqual(await lost, ['a replica of a newer version or configuration is to lead']);
      await acquired;
      assert.equal(leads.leadership.lease, undefined);
    }
    await Promise.all([one.leadership.stop(), two.leadership.stop()]);
    assert.equal((await leader(query))?.living, false);
  });

  test('one that is told that this has changed does not wait for its next attempt', async (t) => {
    const connection = await createDatabase();
    const times = { lifetime: 120_000, interval: 60_000 };
    const [one, two] = ['one', 'two'].map((holder) => new Replica(t, holder, connection, times)) as [Replica, Replica];
    await firstToLead([one]);
    two.mayLead = false;
    two.leadership.start();
    const lost = once(one, 'lost');
    one.mayLead = false;
    one.leadership.wake();
    await lost;
    // Until the lease is free.
    await one.leadership.stop();
    const acquired = once(two, 'acquired');
    two.mayLead = true;
    two.leadership.wake();
    await acquired;
  });

  test('one whose connection hangs stops leading before another one does', async (t) => {
    const connection = await createDatabase();
    const proxy = await FaultyProxy.start(t, connection.port);
    const hanging = new Replica(t, 'hanging', { ...connection, port: proxy.port });
    hanging.leadership.start();
    await once(hanging, 'acquired');
    const other = new Replica(t, 'other', connection);
    const events: string[] = [];
    hanging.on('lost', () => events.push('lost'));
    other.on('acquired', () => events.push('acquired'));
    const acquired = once(other, 'acquired');
    proxy.hang();
    other.leadership.start();
    await acquired;
    assert.deepEqual(events, ['lost', 'acquired']);
    assert.equal(hanging.leadership.lease, undefined);
  });

  test('one whose connection hangs stops all the same', async (t) => {
    const connection = await createDatabase();
    const proxy = await FaultyProxy.start(t, connection.port);
    const replicas = ['leads', 'waits'].map((holder) => new Replica(t, holder, { ...connection, port: proxy.port }));
    await firstToLead(replicas);
    proxy.hang();
    await Promise.all(replicas.map(({ leadership }) => leadership.stop()));
  });

  test('a write that goes on for long does not delay the next leader, and nothing of it is there', async (t) => {
    const connection = await createDatabase();
    const proxy = await FaultyProxy.start(t, connection.port);
    const first = new Replica(t, 'first', { ...connection, port: proxy.port });
    await firstToLead([first]);
    const database = opened(t, connection, first.leadership.lease);
    const sleeping = Promise.withResolvers<void>();
    const write = database.transaction('write', async (query) => {
      await query(`INSERT INTO stored (registry, bytes) VALUES ('slow', 1)`);
      sleeping.resolve();
      await query('SELECT pg_sleep(50)');
    });
    const refused = assert.rejects(write, { name: 'StoreError', code: 'unavailable' });
    await sleeping.promise;
    // It renews its lease no more.
    proxy.hang();
    await firstToLead([new Replica(t, 'next', connection)]);
    await refused;
    assert.deepEqual(await run(connection, 'SELECT FROM stored'), []);
  });

  test('a database that is away for less than the lease lives is nothing to the leader; for longer, it leads again after', async (t) => {
    const own = await startPostgresql();
    t.after(() => own[Symbol.asyncDispose]());
    const connection = await createDatabaseOn(own);
    const replica = new Replica(t, 'one', connection);
    replica.leadership.start();
    await once(replica, 'acquired');
    const term = replica.leadership.lease?.term;
    await own.stop();
    await once(replica, 'lost');
    const again = once(replica, 'acquired');
    await own.start();
    await again;
    assert.notEqual(replica.leadership.lease?.term, term);
  });

  test('what a deposed one writes is refused, and nothing of it is there', async (t) => {
    const connection = await createDatabase();
    const held = await takeFor(connection, 'deposed');
    const store = await PostgresStore.open(connection, {
      format: '',
      fence: (query, database) => fence(query, held, database),
    });
    t.after(() => store.close());
    const commit = (taken: string): Promise<void> =>
      store.catalog.commit('registry', [{ kind: 'scanned', taken: [taken] }], () => []);
    await commit('before');
    await takeFor(connection, 'next');
    const writes = [
      () => commit('after'),
      () => store.catalog.clearDirty('apps', 1),
      () => store.catalog.keepRegistries(new Set()),
      () => store.catalog.prune(),
      () =>
        store.publications.putChunks([{ name: '00'.repeat(32), head: Buffer.from('head'), body: Buffer.from('body') }]),
      () => store.publications.putPngs(new Map([[digestOf('png'), Buffer.from('png')]])),
      () => store.publications.putApps('apps', { version: 1, body: Buffer.from('apps') }),
      () => store.publications.keepIndexes(new Set()),
      () => store.publications.keepFormats(new Set(), 0),
      () => store.publications.discard(),
      () => store.publications.clean({ chunksBefore: 0, now: 0 }),
      () =>
        store.publications.publish(
          { index: 'apps', version: 1, format: '', registry: '', modified: 0, chunks: [], origin: '' },
          [],
        ),
    ];
    for (const write of writes) await assert.rejects(write(), { name: 'StoreError', code: 'deposed' });
    assert.deepEqual(await store.catalog.scanned('registry'), ['before']);
    assert.deepEqual(await store.publications.published(), []);
  });

  test('in whatever order two take the lease and write, nothing is committed under a term that is over', async (t) => {
    const connection = await createDatabase();
    const observer = await connected(t, connection);
    await observer.query('CREATE TABLE written (holder text, term bigint, at bigint GENERATED ALWAYS AS IDENTITY)');
    const clients = [await connected(t, connection), await connected(t, connection)];
    let fenced = 0;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom<0 | 1 | 'expire'>(0, 1, 0, 1, 'expire'), { minLength: 8, maxLength: 30 }),
        async (moves) => {
          await observer.query(`TRUNCATE written; UPDATE lease SET expires = '-infinity'`);
          const writers = clients.map((client, place) => new Writer(client, `holder ${place}`, observer));
          for (const move of moves) {
            // Time passes: the holder's lease is over, whatever it is doing. Its lock, if it has one, keeps the row.
            if (move === 'expire')
              await observer
                .query(`SET lock_timeout = 1; UPDATE lease SET expires = '-infinity'`)
                .catch(() => undefined);
            else await writers[move]?.step();
          }
          for (const writer of writers) await writer.end();
          const { rows } = await observer.query<{ holder: string; term: string }>(
            'SELECT holder, term FROM written ORDER BY at',
          );
          const terms = rows.map(({ term }) => Number(term));
          assert.deepEqual(
            terms,
            terms.toSorted((a, b) => a - b),
          );
          assert.equal(new Set(rows.map(({ holder, term }) => `${holder} ${term}`)).size, new Set(terms).size);
          fenced += rows.length;
          refused += writers.reduce((sum, writer) => sum + writer.refused, 0);
        },
      ),
      { numRuns: 1000 },
    );
    // It would prove nothing if none of them wrote, or none was refused.
    assert.ok(fenced > 100 && refused > 20, `${fenced} written, ${refused} refused`);
  });
});

/** Takes the lease, begins, is fenced, writes and commits, again and again, one statement at each step. */
class Writer {
  refused = 0;
  readonly #client: Client;
  readonly #holder: string;
  readonly #observer: Client;
  readonly #pid: Promise<number>;
  #term = 0;
  #next: 'take' | 'begin' | 'fence' | 'write' | 'commit' = 'take';
  /** The statement that waits for a lock. */
  #pending: Promise<void> | undefined;

  constructor(client: Client, holder: string, observer: Client) {
    this.#client = client;
    this.#holder = holder;
    this.#observer = observer;
    this.#pid = client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid').then(({ rows }) => rows[0]?.pid ?? 0);
  }

  /** Runs the next statement, or goes on waiting for the last one, until that is done or waits for a lock. */
  async step(): Promise<void> {
    const pid = await this.#pid;
    const pending = (this.#pending ??= this.#run());
    for (;;) {
      const done = await Promise.race([
        pending.then(() => true),
        new Promise<false>((resolve) => setImmediate(resolve, false)),
      ]);
      if (done) {
        this.#pending = undefined;
        return;
      }
      const { rows } = await this.#observer.query<{ waits: boolean }>(
        `SELECT wait_event_type = 'Lock' AS waits FROM pg_stat_activity WHERE pid = $1`,
        [pid],
      );
      if (rows[0]?.waits === true) return;
    }
  }

  async end(): Promise<void> {
    await this.#observer.query('SELECT pg_cancel_backend($1)', [await this.#pid]);
    await this.#pending?.catch(() => undefined);
    await this.#client.query('ROLLBACK');
  }

  async #run(): Promise<void> {
    const [client, lease] = [this.#client, { holder: this.#holder, term: this.#term }];
    const query = queryOn(client);
    switch (this.#next) {
      case 'take': {
        const term = await takeLease(query, lease, 60_000);
        if (term === undefined) return;
        this.#term = term;
        this.#next = 'begin';
        return;
      }
      case 'begin':
        await client.query('BEGIN');
        this.#next = 'fence';
        return;
      case 'fence':
        try {
          await fence(query, lease, 'it');
          this.#next = 'write';
        } catch {
          this.refused++;
          await client.query('ROLLBACK');
          this.#next = 'take';
        }
        return;
      case 'write':
        await client.query('INSERT INTO written (holder, term) VALUES ($1, $2)', [lease.holder, lease.term]);
        this.#next = 'commit';
        return;
      case 'commit':
        await client.query('COMMIT');
        this.#next = 'begin';
    }
  }
}
