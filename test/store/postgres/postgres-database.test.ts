/** Limits of transactions in PostgreSQL. */
import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import type { ClientConfig } from 'pg';
import type { Isolation, RunQuery } from '../../../src/store/postgres/postgres-database.ts';
import { needs } from '../../peers/installed.ts';
import { startPgbouncer } from '../../peers/pgbouncer.ts';
import { databases, opened, run } from './database.ts';

const SETTINGS = `SELECT setting FROM pg_settings
  WHERE name IN ('idle_in_transaction_session_timeout', 'lock_timeout', 'statement_timeout', 'tcp_user_timeout')
  ORDER BY name`;

suite('limits of transactions', needs('postgres', 'pgbouncer'), () => {
  const createDatabase = databases();

  test('they hold for a transaction, and not for the session; any role may set them', async (t) => {
    const connection = await createDatabase();
    await run(connection, 'CREATE ROLE plain LOGIN');
    await assertLimits(t, { ...connection, user: 'plain' });
  });

  test('they hold through PgBouncer', async (t) => {
    const connection = await createDatabase();
    await using pgbouncer = await startPgbouncer(connection);
    await assertLimits(t, pgbouncer.through(connection));
  });
});

suite('transactions', needs('postgres'), () => {
  const createDatabase = databases();

  test('what is sent after a transaction has failed is not run', async (t) => {
    const database = opened(t, await createDatabase());
    const failed = Promise.withResolvers<void>();
    let late: Promise<unknown> | undefined;
    await assert.rejects(
      database.transaction('write', async (query) => {
        late = failed.promise.then(() => query('CREATE TABLE late ()'));
        await Promise.all([query('SELECT 1 / 0'), late]);
      }),
      /division by zero/,
    );
    failed.resolve();
    await assert.rejects(late ?? assert.fail(), /the transaction has ended/);
    assert.deepEqual(await database.query(`SELECT FROM pg_tables WHERE tablename = 'late'`), []);
  });

  test('statements that are sent at once are one transaction, and one that fails leaves nothing of it', async (t) => {
    const database = opened(t, await createDatabase());
    const bytes = (registry: string): Promise<readonly unknown[]> =>
      database.query('SELECT bytes FROM stored WHERE registry = $1', [registry]);
    await database.atOnce('write', (query) => Promise.all([put(query, 'one'), put(query, 'two')]));
    assert.deepEqual([...(await bytes('one')), ...(await bytes('two'))], [{ bytes: '1' }, { bytes: '1' }]);
    await assert.rejects(
      database.atOnce('write', (query) =>
        Promise.all([put(query, 'three'), query('SELECT 1 / 0'), put(query, 'four')]),
      ),
      /division by zero/,
    );
    assert.deepEqual([...(await bytes('three')), ...(await bytes('four'))], []);
    const times = await database.atOnce('snapshot', (query) =>
      Promise.all([query('SELECT now()'), query('SELECT now()'), query('SHOW jit')]),
    );
    assert.deepEqual(times[0], times[1]);
    assert.deepEqual(times[2], [{ jit: 'off' }]);
  });
});

function put(query: RunQuery, registry: string): Promise<unknown> {
  return query('INSERT INTO stored (registry, bytes) VALUES ($1, 1)', [registry]);
}

async function assertLimits(t: TestContext, connection: ClientConfig): Promise<void> {
  const database = opened(t, connection);
  const limits = (isolation: Isolation): Promise<readonly unknown[]> =>
    database.transaction(isolation, async (query) => (await query(SETTINGS)).map(({ setting }) => setting));
  assert.deepEqual(await limits('write'), ['2000', '5000', '60000', '5000']);
  assert.deepEqual(await limits('snapshot'), ['2000', '5000', '60000', '5000']);
  assert.deepEqual(await limits('migration'), ['2000', '0', '0', '5000']);
  assert.deepEqual(
    (await database.query(SETTINGS)).map(({ setting }) => setting),
    ['0', '0', '0', '0'],
  );
}
