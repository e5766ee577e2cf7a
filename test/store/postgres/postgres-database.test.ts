/** Limits of transactions in PostgreSQL. */
import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import type { ClientConfig } from 'pg';
import type { Isolation } from '../../../src/store/postgres/postgres-database.ts';
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
