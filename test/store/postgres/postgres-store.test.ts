/** The store in PostgreSQL keeps the contracts of all roles. */
import assert from 'node:assert/strict';
import { after, before, suite, test, type TestContext } from 'node:test';
import { Client, type ClientConfig } from 'pg';
import { migrate, MIGRATION_LOCK, MIGRATIONS } from '../../../src/store/postgres/migrations.ts';
import { PostgresDatabase } from '../../../src/store/postgres/postgres-database.ts';
import { PostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { eventually } from '../../e2e/eventually.ts';
import { isInstalled, needs } from '../../peers/installed.ts';
import { type Postgresql, startPostgresql } from '../../peers/postgresql.ts';
import { blobsContract } from '../blobs-contract.ts';
import { catalogContract } from '../catalog-contract.ts';
import { publicationsContract } from '../publications-contract.ts';
import { damageTo } from './database.ts';
import { deltasContract } from '../deltas-contract.ts';
import { settingsContract } from '../settings-contract.ts';

/** Returns the columns of all tables. */
async function columnsOf(database: PostgresDatabase): Promise<unknown> {
  return database.query(
    `SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
     WHERE table_schema = current_schema() ORDER BY table_name, column_name`,
  );
}

suite('the store in PostgreSQL', needs('postgres'), () => {
  let server: Postgresql | undefined;
  before(async () => {
    if (isInstalled('postgres')) server = await startPostgresql();
  });
  after(() => server?.[Symbol.asyncDispose]());

  const createDatabase = (): Promise<ClientConfig> => (server ?? assert.fail()).createDatabase();

  /** Opens stores on one new database; each closes the one before. */
  function opener(t: TestContext): {
    readonly open: () => Promise<PostgresStore>;
    readonly openBeside: () => Promise<PostgresStore>;
    readonly run: (sql: string, ...values: readonly unknown[]) => Promise<void>;
  } {
    const database = createDatabase();
    let last: PostgresStore | undefined;
    const openBeside = async (): Promise<PostgresStore> => {
      const store = await PostgresStore.open(await database, { format: '1', keepUnreadFor: 0 });
      t.after(() => store.close());
      return store;
    };
    return {
      openBeside,
      open: async () => {
        await last?.close();
        last = await openBeside();
        return last;
      },
      run: async (sql, ...values) => {
        const client = new Client(await database);
        await client.connect();
        assert.equal((await client.query(sql, [...values])).rowCount, 1);
        await client.end();
      },
    };
  }

  suite('catalog', () => {
    catalogContract((t) => {
      const { open } = opener(t);
      return { open: async () => (await open()).catalog };
    });
  });

  suite('deltas', () => {
    deltasContract((t) => {
      const { open } = opener(t);
      return { open: async () => (await open()).catalog };
    });
  });

  suite('settings', () => {
    settingsContract((t) => {
      const { open } = opener(t);
      return { open: async () => (await open()).settings };
    });
  });

  suite('publications', () => {
    publicationsContract((t) => {
      const { open, openBeside, run } = opener(t);
      return {
        open: async () => (await open()).publications,
        openForReading: async () => (await openBeside()).publications,
        damage: async (part) => {
          const { sql, name } = damageTo(part);
          await run(sql, name);
        },
        lose: (chunk) => run('DELETE FROM chunk WHERE name = $1', Buffer.from(chunk, 'hex')),
      };
    });
  });

  suite('blobs', () => {
    blobsContract((t) => {
      const { open, openBeside, run } = opener(t);
      return {
        open: async () => (await open()).blobs,
        openForReading: async () => (await openBeside()).blobs,
        damage: ({ kind, digest }, position) =>
          run(
            `UPDATE blob_piece SET bytes = 'other' WHERE kind = $1 AND digest = $2 AND position = $3`,
            kind,
            digest,
            position,
          ),
      };
    });
  });

  test('several that begin at once make the tables once', async (t) => {
    const { openBeside } = opener(t);
    const stores = await Promise.all([1, 2, 3].map(openBeside));
    assert.equal(new Set(stores.map(({ catalog }) => catalog.id)).size, 1);
  });

  test('tables of every earlier version become those of this one, with their rows', async (t) => {
    const fresh = new PostgresDatabase(await createDatabase());
    t.after(() => fresh.close());
    await migrate(fresh);
    for (const from of MIGRATIONS.keys()) {
      const database = new PostgresDatabase(await createDatabase());
      t.after(() => database.close());
      await migrate(database, MIGRATIONS.slice(0, from + 1));
      await database.query("INSERT INTO repository (registry, name) VALUES ('https://registry.example', 'app')");
      for (let time = 0; time < 2; time++) {
        await migrate(database);
        assert.deepEqual(await columnsOf(database), await columnsOf(fresh));
      }
      assert.deepEqual(await database.query('SELECT name FROM repository'), [{ name: 'app' }]);
    }
  });

  test('a migration may take longer than any other statement', async (t) => {
    const connection = await createDatabase();
    const other = new Client(connection);
    await other.connect();
    t.after(() => other.end());
    await other.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const opening = PostgresStore.open({ ...connection, query_timeout: 1_000 }, { format: '1' });
    t.after(async () => (await opening).close());
    await eventually(async () => {
      const { rows } = await other.query(
        `SELECT FROM pg_stat_activity WHERE wait_event = 'advisory' AND query_start < clock_timestamp() - interval '1500 ms'`,
      );
      assert.equal(rows.length, 1);
    });
    await other.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    assert.ok((await opening).catalog.id);
  });

  test('tables of a newer version are left alone, and told', async (t) => {
    const { openBeside, run } = opener(t);
    await openBeside();
    await run('UPDATE schema_version SET version = version + 1');
    await assert.rejects(openBeside(), {
      name: 'StoreError',
      message: /^the database test_\d+ at 127\.0\.0\.1:\d+ has tables of a newer version of this program/,
    });
  });

  test('a connection that is lost in a transaction fails it, and nothing else', async (t) => {
    const connection = await createDatabase();
    const database = new PostgresDatabase(connection);
    t.after(() => database.close());
    const observer = new Client(connection);
    await observer.connect();
    t.after(() => observer.end());
    const lost = database.transaction('write', async (query) => {
      const [own] = await query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      await observer.query('SELECT pg_terminate_backend($1)', [own?.pid]);
      await query('SELECT 1');
    });
    await assert.rejects(lost, { name: 'StoreError', code: 'unavailable' });
    assert.deepEqual(await database.query('SELECT 1 AS one'), [{ one: 1 }]);
  });

  test('a database that cannot be reached is unavailable, and a store that was closed is closed', async (t) => {
    const { open } = opener(t);
    const store = await open();
    await store.close();
    await assert.rejects(store.catalog.stored('any'), { name: 'StoreError', code: 'closed' });
    const nowhere = { host: '127.0.0.1', port: 1, user: 'nobody', database: 'none' };
    await assert.rejects(PostgresStore.open(nowhere, { format: '1' }), {
      name: 'StoreError',
      code: 'unavailable',
    });
  });
});
