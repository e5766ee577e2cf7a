/** A PostgreSQL server for the tests of one suite, and its databases. */
import assert from 'node:assert/strict';
import { after, before, type TestContext } from 'node:test';
import { Client, type ClientConfig, type PoolConfig } from 'pg';
import { fence, type HeldLease } from '../../../src/store/postgres/lease.ts';
import { PostgresDatabase } from '../../../src/store/postgres/postgres-database.ts';
import { PostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { isInstalled } from '../../peers/installed.ts';
import { type Postgresql, startPostgresql } from '../../peers/postgresql.ts';
import type { StoredPart } from '../publications-contract.ts';

/** Starts a server for the suite that calls it; returns what makes databases with the tables of the store. */
export function databases(): () => Promise<ClientConfig> {
  let server: Postgresql | undefined;
  before(async () => {
    if (isInstalled('postgres')) server = await startPostgresql();
  });
  after(() => server?.[Symbol.asyncDispose]());
  return () => createDatabase(server ?? assert.fail());
}

/** Makes a database with the tables of the store. */
export async function createDatabase(server: Postgresql): Promise<ClientConfig> {
  const connection = await server.createDatabase();
  await (await PostgresStore.open(connection, { format: '' })).close();
  return connection;
}

/** Opens a pool until the test ends. */
export function opened(t: TestContext, connection: PoolConfig, lease?: HeldLease): PostgresDatabase {
  const database = new PostgresDatabase(
    connection,
    lease && ((query, name): Promise<void> => fence(query, lease, name)),
  );
  t.after(() => database.close());
  return database;
}

/** Connects until the test ends. */
export async function connected(t: TestContext, connection: ClientConfig): Promise<Client> {
  const client = new Client(connection);
  client.on('error', () => undefined);
  await client.connect();
  t.after(() => client.end());
  return client;
}

/** Gives the lease to `holder` for a minute, whoever has it. */
export async function takeFor(connection: ClientConfig, holder: string): Promise<HeldLease> {
  const [row] = await run<{ term: string }>(
    connection,
    `UPDATE lease SET holder = $1, term = term + 1, since = clock_timestamp(), expires = clock_timestamp() + interval '1 minute'
     RETURNING term`,
    [holder],
  );
  return { holder, term: Number(row?.term) };
}

/** Runs one statement on a connection of its own. */
export async function run<R extends Readonly<Record<string, unknown>>>(
  connection: ClientConfig,
  sql: string,
  values: readonly unknown[] = [],
): Promise<readonly R[]> {
  const client = new Client(connection);
  await client.connect();
  try {
    return (await client.query<R>(sql, [...values])).rows;
  } finally {
    await client.end();
  }
}

/** Returns the statement that damages a part of the publications, with its parameter. */
export function damageTo(part: StoredPart): { readonly sql: string; readonly name: string | Buffer } {
  switch (part.kind) {
    case 'publication':
      return {
        sql: `UPDATE publication SET registry = replace(registry, 'registry', 'registrz') WHERE "index" = $1`,
        name: part.index,
      };
    case 'apps':
      return { sql: `UPDATE apps_part SET bytes = 'other apps' WHERE "index" = $1`, name: part.index };
    case 'png':
      return { sql: `UPDATE png SET bytes = 'other PNG' WHERE digest = $1`, name: part.digest };
    case 'head':
    case 'body':
      return { sql: `UPDATE chunk SET ${part.kind} = 'other' WHERE name = $1`, name: Buffer.from(part.chunk, 'hex') };
  }
}
