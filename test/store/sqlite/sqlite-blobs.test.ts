/** The SQLite blobs: the contract, and what is specific to SQLite. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { digestOf } from '../../../src/registry/digest.ts';
import { putBlob } from '../../../src/store/blobs.ts';
import { SqliteBlobReader, SqliteBlobs } from '../../../src/store/sqlite/sqlite-blobs.ts';
import { blobsContract } from '../blobs-contract.ts';
import { temporaryFolder } from '../temporary-folder.ts';

blobsContract((t) => {
  const file = join(temporaryFolder(t), 'blobs.sqlite');
  let open: SqliteBlobs | undefined;
  return {
    open: async () => {
      await open?.close();
      const blobs = SqliteBlobs.open(file, (warning) => assert.fail(warning));
      t.after(() => blobs.close());
      open = blobs;
      return blobs;
    },
    openForReading: async () => {
      const reader = SqliteBlobReader.openForReading(file);
      t.after(() => reader.close());
      return reader;
    },
    damage: ({ kind, digest }, position) => {
      using database = new DatabaseSync(file);
      const { changes } = database
        .prepare(`UPDATE blob_piece SET bytes = CAST('other' AS BLOB) WHERE kind = ? AND digest = ? AND position = ?`)
        .run(kind, digest, position);
      assert.equal(changes, 1);
    },
  };
});

test('the disk gets back what removed blobs took', async (t) => {
  const file = join(temporaryFolder(t), 'blobs.sqlite');
  const blobs = SqliteBlobs.open(file, (warning) => assert.fail(warning));
  const content = randomBytes(20_000_000);
  await putBlob(blobs, { kind: 'delta', digest: digestOf(content) }, [content]);
  for (const now of [1, 3]) await blobs.clean({ kind: 'delta', named: () => false, before: now - 1, now });
  await blobs.close();
  assert.ok(statSync(file).size < 100_000, `${statSync(file).size} bytes are left`);
});
