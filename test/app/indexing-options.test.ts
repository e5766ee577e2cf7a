import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { indexingOptions } from '../../src/app/indexing-options.ts';
import { RecoveringIndexer } from '../../src/app/recovering-indexer.ts';
import { readConfig } from '../../src/config/read-config.ts';
import { EVERYTHING } from '../../src/indexing/rebuild.ts';
import { SqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { temporaryFolder, writeLayout } from '../registry/layout/write-layout.ts';

test('only a key that changes an index publishes it again', async (t) => {
  const folder = await temporaryFolder(t);
  await writeLayout(join(folder, 'images/app'), [{ tag: 'stable', labels: { name: 'app' } }]);

  /** Rebuilds with these keys of the index. Returns the documents that were published, and the index's version. */
  const rebuildWith = async (keys: object): Promise<{ published: readonly string[]; version: number | undefined }> => {
    const file = join(folder, 'config.yaml');
    const apps = { registry: 'oci:images', tags: ['*'], ...keys };
    await writeFile(file, stringify({ state_dir: 'state', indexes: { apps } }));
    const options = indexingOptions(readConfig(file, {}));
    const published: string[] = [];
    const onPublished = (_index: string, document: string): void => void published.push(document);
    const indexer = await RecoveringIndexer.open(options, { onWarning: assert.fail });
    try {
      await indexer.refresh({ onPublished });
      for (const { id } of options.registries) await indexer.rebuild(id, EVERYTHING, { onPublished });
    } finally {
      await indexer.close();
    }
    const publications = SqliteStore.openPublications(options.stateDir);
    const publication = await publications?.publication('apps');
    await publications?.close();
    return { published, version: publication?.version };
  };

  const first = await rebuildWith({ title: 'Apps' });
  assert.deepEqual(first.published, ['index', 'apps']);
  const texts = { title: 'Other apps', comment: 'Some', homepage: 'https://example.org' };
  assert.deepEqual(await rebuildWith(texts), { published: [], version: first.version });
  const others = await rebuildWith({ ...texts, skip_flatpak_labels: true });
  assert.deepEqual(others.published, ['index', 'apps']);
  assert.ok((others.version ?? 0) > (first.version ?? 0));
});
