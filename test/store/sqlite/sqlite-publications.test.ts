/** The SQLite publications: the contract, and what is specific to SQLite. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { SqlitePublicationReader, SqlitePublications } from '../../../src/store/sqlite/sqlite-publications.ts';
import { chunkOf, publicationOf, publicationsContract, type StoredPart } from '../publications-contract.ts';
import { temporaryFolder } from '../temporary-folder.ts';

publicationsContract((t) => {
  const file = join(temporaryFolder(t), 'publications.sqlite');
  let open: SqlitePublications | undefined;
  return {
    open: async () => {
      await open?.close();
      const publications = SqlitePublications.open(file, (warning) => assert.fail(warning));
      t.after(() => publications.close());
      open = publications;
      return publications;
    },
    openForReading: async () => {
      const reader = SqlitePublicationReader.openForReading(file);
      t.after(() => reader.close());
      return reader;
    },
    damage: (part) => {
      const { sql, name } = damageTo(part);
      alter(file, sql, name);
    },
    lose: (chunk) => {
      alter(file, 'DELETE FROM chunk WHERE name = ?', Buffer.from(chunk, 'hex'));
    },
  };
});

/** Changes one row while the file is open. */
function alter(file: string, sql: string, name: string | Buffer): void {
  const database = new DatabaseSync(file);
  assert.equal(database.prepare(sql).run(name).changes, 1);
  database.close();
}

function damageTo(part: StoredPart): { readonly sql: string; readonly name: string | Buffer } {
  switch (part.kind) {
    case 'publication':
      return {
        sql: `UPDATE publication SET registry = replace(registry, 'registry', 'registrz') WHERE "index" = ?`,
        name: part.index,
      };
    case 'apps':
      return { sql: `UPDATE apps SET body = CAST('other apps' AS BLOB) WHERE "index" = ?`, name: part.index };
    case 'png':
      return { sql: `UPDATE png SET bytes = CAST('other PNG' AS BLOB) WHERE digest = ?`, name: part.digest };
    case 'head':
    case 'body':
      return {
        sql: `UPDATE chunk SET ${part.kind} = CAST('other' AS BLOB) WHERE name = ?`,
        name: Buffer.from(part.chunk, 'hex'),
      };
  }
}

/** Number of pushes: together they write many times the log's limit. */
const PUSHES = 400;
const CHUNK_BYTES = 200_000;
/**
 * Limit of the log in bytes: SQLite restarts it after 1000 pages of 8 kB, plus what is written meanwhile while somebody
 * reads.
 */
const MOST_LOG_BYTES = 16_500_000;

test('the log stays bounded while hundreds of pushes are published and another thread reads all the time', async (t) => {
  const file = join(temporaryFolder(t), 'publications.sqlite');
  const publications = SqlitePublications.open(file, (warning) => assert.fail(warning));
  t.after(() => publications.close());
  const others = ['a', 'b', 'c'].map(chunkOf);
  await publications.publish(publicationOf('apps', 1, others), others);

  const counts = new Int32Array(new SharedArrayBuffer(8));
  const reader = new Worker(join(import.meta.dirname, 'programs', 'read-publications.ts'), {
    workerData: { file, counts },
  });
  t.after(() => reader.terminate());
  const ended = once(reader, 'exit');
  await once(reader, 'message');
  let most = 0;
  for (let version = 2; version < PUSHES + 2; version++) {
    const chunk = { ...chunkOf(`pushed ${version}`), body: randomBytes(CHUNK_BYTES) };
    await publications.publish(publicationOf('apps', version, [...others, chunk]), [chunk]);
    if (version % 20 === 0) {
      const now = Date.now();
      await publications.clean({ named: () => true, chunksBefore: now, pngsBefore: 0, now });
      // Gives the reader time to see it.
      await new Promise(setImmediate);
    }
    most = Math.max(most, statSync(`${file}-wal`).size);
  }
  Atomics.store(counts, 1, 1);
  assert.deepEqual(await ended, [0]);
  assert.ok(Atomics.load(counts, 0) > PUSHES, `read ${Atomics.load(counts, 0)} times`);
  assert.ok(most < MOST_LOG_BYTES, `the log had ${most} bytes`);
});

test('a reader that never ends costs space, but does not block pushes; afterwards the log restarts', async (t) => {
  const file = join(temporaryFolder(t), 'publications.sqlite');
  const publications = SqlitePublications.open(file, (warning) => assert.fail(warning));
  t.after(() => publications.close());
  let version = 0;
  const push = async (bytes: number): Promise<void> => {
    version++;
    const chunk = { ...chunkOf(`pushed ${version}`), body: randomBytes(bytes) };
    await publications.publish(publicationOf('apps', version, [chunk]), [chunk]);
  };
  await push(1000);
  const reader = new DatabaseSync(file, { readOnly: true });
  t.after(() => reader.close());
  reader.exec('BEGIN');
  reader.prepare('SELECT count(*) FROM chunk').get();
  for (let time = 0; time < 20; time++) await push(1_000_000);
  assert.ok(statSync(`${file}-wal`).size > MOST_LOG_BYTES);
  assert.equal((await publications.publication('apps'))?.version, version);
  reader.exec('COMMIT');
  for (let time = 0; time < 2; time++) await push(1000);
  assert.ok(statSync(`${file}-wal`).size < MOST_LOG_BYTES);
});
