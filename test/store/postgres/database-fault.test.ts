/** What can be wrong with a database is one message, which says what to do. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import type { ClientConfig } from 'pg';
import { PostgresDatabase } from '../../../src/store/postgres/postgres-database.ts';
import { PostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import type { StoreErrorCode } from '../../../src/store/store-error.ts';
import { freePort } from '../../peers/free-port.ts';
import { isInstalled, needs } from '../../peers/installed.ts';
import { type Postgresql, startPostgresql } from '../../peers/postgresql.ts';
import { run } from './database.ts';

const OTHERS = 'host all all all trust';

suite('faults of a database', needs('postgres'), () => {
  let server: Postgresql;
  before(async () => {
    if (!isInstalled('postgres')) return;
    server = await startPostgresql({}, { rules: ['host all "no ""entry""" all reject', OTHERS] });
    await run(
      await server.createDatabase(),
      `CREATE ROLE "Plain" LOGIN;
       CREATE ROLE reader LOGIN; ALTER ROLE reader SET default_transaction_read_only = on;
       CREATE ROLE many LOGIN CONNECTION LIMIT 0;
       CREATE ROLE "no ""entry""" LOGIN;
       CREATE ROLE sleeper NOLOGIN`,
    );
  });
  after(() => server?.[Symbol.asyncDispose]());

  test('a database that is not there', async () => {
    const connection = await server.createDatabase();
    await refuses(
      { ...connection, database: 'My apps' },
      `the database My apps at HOST does not exist (database "My apps" does not exist): make it with CREATE DATABASE "My apps" OWNER "regindexer" ENCODING 'UTF8' TEMPLATE template0, or name another one in store`,
    );
  });

  test('users who are not let in', async () => {
    const connection = await server.createDatabase();
    await refuses(
      { ...connection, user: 'nobody' },
      /^the database test_\d+ at HOST refuses the login \(role "nobody" does not exist\): check the user in store, and pg_hba\.conf of the server$/,
    );
    await refuses(
      { ...connection, user: 'sleeper' },
      / refuses the login \(role "sleeper" is not permitted to log in\)/,
    );
    await refuses({ ...connection, user: 'no "entry"' }, / refuses the .+ \(pg_hba\.conf rejects connection for host /);
    await refuses(
      { ...connection, user: 'many' },
      / has no connection left \(too many connections for role "many"\): raise max_connections of the server, or let fewer/,
      'unavailable',
    );
  });

  test('a server that cannot be reached', async () => {
    const elsewhere = { user: 'me', database: 'apps' };
    const ADVICE = 'check host and port in store, and that PostgreSQL runs and listens there';
    const port = await freePort();
    await refuses(
      { ...elsewhere, host: '127.0.0.1', port },
      `the database apps at HOST cannot be reached (connect ECONNREFUSED HOST): ${ADVICE}`,
      'unavailable',
    );
    // Two addresses, as most machines have it.
    await refuses(
      { ...elsewhere, host: 'localhost', port },
      / cannot be reached \(connect ECONNREFUSED .+\): check host/,
      'unavailable',
    );
    await refuses(
      { ...elsewhere, host: 'db.invalid', port: 5432 },
      `the database apps at HOST cannot be reached (getaddrinfo ENOTFOUND db.invalid): ${ADVICE}`,
      'unavailable',
    );
    await refuses(
      { ...elsewhere, host: join(server.folder, 'nowhere'), port: 5432 },
      / cannot be reached \(connect ENOENT .+nowhere\/\.s\.PGSQL\.5432\): check host/,
      'unavailable',
    );
  });

  test('a server that accepts connections and says nothing', async (t) => {
    const database = new PostgresDatabase({ ...(await silence(t)), connectionTimeoutMillis: 100 });
    t.after(() => database.close());
    await assert.rejects(database.query('SELECT 1'), {
      name: 'StoreError',
      code: 'unavailable',
      message: / cannot be reached \(.*timeout.*\): check host and port in store/,
    });
  });

  test('connections that are all busy', async (t) => {
    const database = new PostgresDatabase({ ...(await server.createDatabase()), max: 1, connectionTimeoutMillis: 200 });
    t.after(() => database.close());
    await database.transaction('snapshot', () =>
      assert.rejects(database.query('SELECT 1'), {
        name: 'StoreError',
        message: / keeps all connections of this program busy \(.+\): see the log of the server for slow statements$/,
      }),
    );
  });

  test('a role that may make no tables', async () => {
    const connection = await server.createDatabase();
    const { database } = connection;
    await refuses(
      { ...connection, user: 'Plain' },
      `the database ${database} at HOST does not let the role "Plain" make tables: run GRANT CREATE, USAGE ON SCHEMA public TO "Plain" in it as the owner of the schema, or ALTER DATABASE ${database} OWNER TO "Plain"`,
      'read-only',
    );
    // Not even found, without the right to use it.
    await run(connection, 'REVOKE USAGE ON SCHEMA public FROM PUBLIC');
    await refuses(
      { ...connection, user: 'Plain' },
      / run GRANT CREATE, USAGE ON SCHEMA public TO "Plain" in/,
      'read-only',
    );
    for (const cure of [
      'GRANT CREATE, USAGE ON SCHEMA public TO "Plain"',
      `REVOKE CREATE, USAGE ON SCHEMA public FROM "Plain"; ALTER DATABASE ${database} OWNER TO "Plain"`,
    ]) {
      await run(connection, cure);
      await (await PostgresStore.open({ ...connection, user: 'Plain' }, { format: '' })).close();
    }
  });

  test('tables of another role', async () => {
    const connection = await server.createDatabase();
    await (await PostgresStore.open(connection, { format: '' })).close();
    await run(connection, 'GRANT CREATE ON SCHEMA public TO "Plain"');
    await refuses(
      { ...connection, user: 'Plain' },
      / does not let this role do all that the store needs \(permission denied for table schema_version\): make it the owner/,
      'read-only',
    );
  });

  test('a database that takes no writes', async () => {
    const connection = await server.createDatabase();
    await run(connection, 'GRANT CREATE ON SCHEMA public TO reader');
    await refuses(
      { ...connection, user: 'reader' },
      / is read-only \(cannot execute CREATE TABLE in a read-only transaction\): name the primary in store/,
      'unavailable',
    );
  });

  test('a database of another encoding', async () => {
    const connection = await server.createDatabase();
    await run(connection, `CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`);
    await refuses(
      { ...connection, database: 'latin' },
      `the database latin at HOST has the encoding LATIN1: name one in store that was made with CREATE DATABASE … OWNER regindexer ENCODING 'UTF8' TEMPLATE template0`,
    );
  });

  test('a server that stops meanwhile, and faults of this program', async (t) => {
    const connection = await server.createDatabase();
    const database = new PostgresDatabase(connection);
    t.after(() => database.close());
    await assert.rejects(
      database.transaction('snapshot', async (query) => {
        const [own] = await query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        await run(connection, 'SELECT pg_terminate_backend($1)', [own?.pid]);
        await query('SELECT 1');
      }),
      { name: 'StoreError', code: 'unavailable' },
    );
    await assert.rejects(database.query('SELECT FROM nowhere'), { name: 'error', code: '42P01' });
    const fault = Object.assign(new TypeError('a connection'), { code: 'ERR_INVALID_ARG_TYPE' });
    await assert.rejects(
      database.transaction('snapshot', () => Promise.reject(fault)),
      (error) => error === fault,
    );
  });
});

/** The address of a server that takes connections and says nothing. */
async function silence(t: TestContext): Promise<ClientConfig> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port, user: 'me', database: 'apps' };
}

/** Fails to open the store as it does with this message; `HOST` stands for where the server is. */
async function refuses(
  connection: ClientConfig,
  message: string | RegExp,
  code: StoreErrorCode = 'refused',
): Promise<void> {
  const { host, port } = connection;
  await assert.rejects(PostgresStore.open(connection, { format: '' }), (error: Error & { code?: string }) => {
    const said = error.message.replaceAll(`${host}:${port}`, 'HOST');
    if (typeof message === 'string') assert.equal(said, message);
    else assert.match(said, message);
    assert.deepEqual([error.name, error.code], ['StoreError', code]);
    return true;
  });
}
