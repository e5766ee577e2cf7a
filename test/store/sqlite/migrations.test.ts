/** Files of earlier versions are migrated to the tables of new ones, with all rows. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { suite, test } from 'node:test';
import { BLOBS_SCHEMA } from '../../../src/store/sqlite/blobs-schema.ts';
import { CATALOG_SCHEMA } from '../../../src/store/sqlite/catalog-schema.ts';
import { type DatabaseSchema, openDatabase } from '../../../src/store/sqlite/database.ts';
import { PUBLICATIONS_SCHEMA } from '../../../src/store/sqlite/publications-schema.ts';
import { temporaryFolder } from '../temporary-folder.ts';

function failOnWarning(warning: string): void {
  assert.fail(warning);
}

/** Returns the schema of a version that had only the first migrations. */
function upTo(schema: DatabaseSchema, version: number): DatabaseSchema {
  return { ...schema, migrations: schema.migrations.slice(0, version) };
}

function tablesOf(database: DatabaseSync): unknown {
  return [
    database.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name').all(),
    database.prepare('PRAGMA user_version').get(),
    database.prepare('PRAGMA application_id').get(),
    database.prepare('PRAGMA page_size').get(),
    database.prepare('PRAGMA journal_mode').get(),
  ];
}

for (const [name, schema] of Object.entries({
  catalog: CATALOG_SCHEMA,
  publications: PUBLICATIONS_SCHEMA,
  blobs: BLOBS_SCHEMA,
})) {
  suite(`of the ${name}`, () => {
    for (const from of schema.migrations.keys()) {
      test(`one of version ${from + 1} gets the tables of a new one`, (t) => {
        const folder = temporaryFolder(t);
        const fresh = openDatabase(join(folder, 'new.sqlite'), schema, failOnWarning);
        const file = join(folder, 'earlier.sqlite');
        openDatabase(file, upTo(schema, from + 1), failOnWarning).close();
        for (let time = 0; time < 2; time++) {
          const earlier = openDatabase(file, schema, failOnWarning);
          assert.deepEqual(tablesOf(earlier), tablesOf(fresh));
          earlier.close();
        }
        fresh.close();
      });
    }
  });
}

suite('of any file', () => {
  const SCHEMA: DatabaseSchema = {
    applicationId: 0x54455354,
    migrations: [
      'CREATE TABLE note (text TEXT NOT NULL) STRICT',
      "ALTER TABLE note ADD COLUMN author TEXT; UPDATE note SET author = 'somebody'",
      'CREATE INDEX note_by_author ON note (author); CREATE TABLE other (note TEXT)',
    ],
    checkedTables: ['note'],
    whenLost: 'it is gone',
  };

  test('its rows stay, and only the later migrations are applied', (t) => {
    for (const version of [1, 2, 3]) {
      const file = join(temporaryFolder(t), 'any.sqlite');
      const earlier = openDatabase(file, upTo(SCHEMA, version), failOnWarning);
      earlier.exec("INSERT INTO note (text) VALUES ('kept')");
      earlier.close();
      const now = openDatabase(file, SCHEMA, failOnWarning);
      assert.deepEqual(
        { ...now.prepare('SELECT text, author FROM note').get() },
        { text: 'kept', author: version === 1 ? 'somebody' : null },
      );
      assert.equal(now.prepare('PRAGMA user_version').get()?.['user_version'], 3);
      now.close();
    }
  });

  test('a migration that fails changes nothing', (t) => {
    const file = join(temporaryFolder(t), 'any.sqlite');
    const earlier = openDatabase(file, upTo(SCHEMA, 1), failOnWarning);
    earlier.exec("INSERT INTO note (text) VALUES ('kept')");
    const tables = tablesOf(earlier);
    earlier.close();
    const failing = {
      ...SCHEMA,
      migrations: [
        ...SCHEMA.migrations.slice(0, 1),
        'ALTER TABLE note ADD COLUMN author TEXT; INSERT INTO note (text) VALUES (NULL)',
      ],
    };
    assert.throws(() => openDatabase(file, failing, failOnWarning), /NOT NULL constraint failed/);
    const again = openDatabase(file, upTo(SCHEMA, 1), failOnWarning);
    assert.deepEqual([tablesOf(again), again.prepare('SELECT text FROM note').all().length], [tables, 1]);
    again.close();
  });
});
