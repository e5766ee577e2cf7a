/** Versions of the program that write different formats share a database. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { FORMAT, FORMAT_NUMBER, formatOf } from '../../../src/indexing/chunk/part.ts';
import { Indexer } from '../../../src/indexing/indexer.ts';
import { EVERYTHING } from '../../../src/indexing/rebuild.ts';
import { PostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { defineIndex } from '../../indexing/define-index.ts';
import { needs } from '../../peers/installed.ts';
import { MemoryRegistry } from '../../sources/memory-registry.ts';
import { databases, opened } from './database.ts';

suite('formats', needs('postgres'), () => {
  const createDatabase = databases();

  /** Makes a database, and what leads there for a moment; that returns the names of the chunks that are published. */
  const leading = async () => {
    const connection = await createDatabase();
    const registry = new MemoryRegistry();
    registry.pushImage('apps/one', 'latest', { labels: { version: '1' } });
    const lead = async (work: (indexer: Indexer) => Promise<unknown>): Promise<readonly string[]> => {
      const store = await PostgresStore.open(connection, { format: FORMAT });
      try {
        const indexer = await Indexer.open({
          sources: new Map([[registry.id, registry]]),
          concurrency: () => 1,
          store,
          definitions: [defineIndex({ registry: registry.id })],
          iconsUri: '/icons/',
          cleanFilesAfter: 0,
          onWarning: assert.fail,
        });
        await work(indexer);
        await indexer.settled();
        return (await store.publications.publication('apps'))?.chunks ?? [];
      } finally {
        await store.close();
      }
    };
    return { connection, registry, lead };
  };

  test('a version is higher than those of another format, by whichever clock', async (t) => {
    const { connection, registry, lead } = await leading();
    const { query } = opened(t, connection);
    await lead((indexer) => indexer.rebuild(registry.id, EVERYTHING));
    // Published by a machine whose clock is an hour ahead.
    await query('UPDATE publication SET format = $1, version = version + 3600000', [formatOf(FORMAT_NUMBER - 1)]);
    await lead((indexer) => indexer.refresh(registry.id));
    const rows = await query('SELECT format FROM publication ORDER BY version');
    assert.deepEqual(
      rows.map(({ format }) => format),
      [formatOf(FORMAT_NUMBER - 1), FORMAT],
    );
  });

  test('who leads again after a newer version shows what has changed meanwhile', async (t) => {
    const { connection, registry, lead } = await leading();
    const { query } = opened(t, connection);
    const before = await lead((indexer) => indexer.rebuild(registry.id, EVERYTHING));
    await query('CREATE TABLE saved AS SELECT * FROM publication');
    registry.pushImage('apps/one', 'latest', { labels: { version: '2' } });
    const after = await lead((indexer) => indexer.rebuild(registry.id, EVERYTHING));
    assert.notDeepEqual(after, before);
    // As if a newer version had published that: the marks of the change are gone, and this format has none of it.
    await query('UPDATE publication SET format = $1', [formatOf(FORMAT_NUMBER + 1)]);
    await query('INSERT INTO publication SELECT * FROM saved');

    assert.deepEqual(await lead((indexer) => indexer.refresh(registry.id)), after);
  });
});
