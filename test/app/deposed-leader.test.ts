/** What a replica that does not lead any more leaves alone outside the database. */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { RecoveringIndexer } from '../../src/app/recovering-indexer.ts';
import { EVERYTHING } from '../../src/indexing/rebuild.ts';
import { defineIndex } from '../indexing/define-index.ts';
import { needs } from '../peers/installed.ts';
import { temporaryFolder, writeLayout } from '../registry/layout/write-layout.ts';
import { databases, takeFor } from '../store/postgres/database.ts';

suite('a deposed leader', needs('postgres'), () => {
  const createDatabase = databases();

  test('does not write what another one may have written since', async (t) => {
    const connection = await createDatabase();
    const { host = '', port = 0, user = '', database = '' } = connection;
    const folder = await temporaryFolder(t);
    await writeLayout(join(folder, 'app'), [{ labels: { name: 'app' } }]);
    const registry = `oci:${folder}`;
    const output = join(await temporaryFolder(t), 'apps.json');
    const indexer = await RecoveringIndexer.open(
      {
        stateDir: '/nowhere',
        iconsDir: undefined,
        iconsUri: '/icons/',
        cleanFilesAfter: 1_000,
        registries: [{ id: registry, concurrency: 1, timeout: 1_000 }],
        definitions: [defineIndex({ registry, output })],
        database: {
          store: { url: `postgres://${user}@${host}:${port}/${database}`, password: undefined },
          lease: await takeFor(connection, 'deposed'),
        },
      },
      { onWarning: assert.fail },
    );
    t.after(() => indexer.close());
    await indexer.rebuild(registry, EVERYTHING);
    const written = await readFile(output, 'utf8');
    await rm(output);
    await indexer.refresh();
    assert.equal(await readFile(output, 'utf8'), written);

    await takeFor(connection, 'next');
    await writeFile(output, 'written by the next');
    await assert.rejects(indexer.refresh(), { name: 'StoreError', code: 'deposed' });
    assert.equal(await readFile(output, 'utf8'), 'written by the next');
  });
});
