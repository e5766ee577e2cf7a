/** The sizes of the store in PostgreSQL. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { PostgresDatabase } from '../../../src/store/postgres/postgres-database.ts';
import { postgresSizes } from '../../../src/store/postgres/postgres-sizes.ts';
import { PostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { needs } from '../../peers/installed.ts';
import { startPostgresql } from '../../peers/postgresql.ts';
import { chunkOf } from '../publications-contract.ts';

test('each table of the store counts, in one part', needs('postgres'), async (t) => {
  const server = await startPostgresql();
  t.after(() => server[Symbol.asyncDispose]());
  const connection = await server.createDatabase();
  const store = await PostgresStore.open(connection, { format: '1' });
  t.after(() => store.close());
  const database = new PostgresDatabase(connection);
  t.after(() => database.close());

  const before = await postgresSizes(database.query);
  assert.deepEqual(
    before.map(({ part }) => part),
    ['catalog', 'publications', 'chunks', 'icons', 'blobs', 'replicas'],
  );
  const [all] = await database.query<{ size: string }>(
    'SELECT sum(pg_total_relation_size(relid)) AS size FROM pg_stat_user_tables',
  );
  assert.equal(
    before.reduce((sum, { size = 0 }) => sum + size, 0),
    Number(all?.size),
  );

  await store.publications.putChunks([{ ...chunkOf('large'), body: randomBytes(1_000_000) }]);
  const after = await postgresSizes(database.query);
  const grown = after.filter(({ size = 0 }, place) => size > (before[place]?.size ?? 0) + 1_000_000);
  assert.deepEqual(
    grown.map(({ part }) => part),
    ['chunks'],
  );
});
