/** The SQLite catalog: the contract, and what is specific to SQLite. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { digestOf } from '../../../src/registry/digest.ts';
import { setAside } from '../../../src/store/sqlite/database.ts';
import { SqliteCatalog } from '../../../src/store/sqlite/sqlite-catalog.ts';
import { catalogContract, imageOf, put, REGISTRY, setTag } from '../catalog-contract.ts';
import { deltasContract } from '../deltas-contract.ts';
import { settingsContract } from '../settings-contract.ts';
import { temporaryFolder } from '../temporary-folder.ts';

/** Opens the catalog in `folder`; it is closed when the test ends. */
function openIn(t: TestContext, folder: string): SqliteCatalog {
  const catalog = SqliteCatalog.open(join(folder, 'catalog.sqlite'), (warning) => assert.fail(warning));
  t.after(() => catalog.close());
  return catalog;
}

/** Opens catalogs in one new folder; each closes the one before. */
function opener(t: TestContext): () => Promise<SqliteCatalog> {
  const folder = temporaryFolder(t);
  let last: SqliteCatalog | undefined;
  return async () => {
    await last?.close();
    last = openIn(t, folder);
    return last;
  };
}

catalogContract((t) => ({ open: opener(t) }));

suite('deltas', () => {
  deltasContract((t) => ({ open: opener(t) }));
});

suite('settings', () => {
  settingsContract((t) => {
    const open = opener(t);
    return { open: async () => (await open()).settings };
  });
});

test('a catalog that was set aside is replaced by one with another id', async (t) => {
  const folder = temporaryFolder(t);
  const before = openIn(t, folder);
  const { id } = before;
  await before.close();
  setAside(join(folder, 'catalog.sqlite'));
  assert.notEqual(openIn(t, folder).id, id);
});

test('reading the same again writes nothing', async (t) => {
  const folder = temporaryFolder(t);
  const catalog = openIn(t, folder);
  const tags = ['a', 'b', 'c'].map((tag) => ({ tag, digest: digestOf(tag) }));
  await catalog.commit(
    REGISTRY,
    [
      { kind: 'tags', repository: 'app', tags },
      { kind: 'scanned', taken: ['one', 'two'] },
    ],
    () => ['apps'],
  );
  const log = readFileSync(join(folder, 'catalog.sqlite-wal'));
  await catalog.commit(
    REGISTRY,
    [
      { kind: 'tags', repository: 'app', tags: tags.toReversed() },
      { kind: 'scanned', taken: ['two', 'one'] },
    ],
    () => ['apps'],
  );
  assert.deepEqual(readFileSync(join(folder, 'catalog.sqlite-wal')), log);
});

test('prune does nothing after opening until something changes', async (t) => {
  const folder = temporaryFolder(t);
  const [kept, lost] = [imageOf('kept'), imageOf('lost')];
  const before = openIn(t, folder);
  await before.commit(REGISTRY, [put(kept), put(lost)], () => []);
  await before.close();
  const catalog = openIn(t, folder);
  assert.equal(await catalog.prune(), 0);
  await catalog.commit(REGISTRY, [setTag('app', 'latest', kept)], () => []);
  assert.equal(await catalog.prune(), 1);
  assert.deepEqual([...(await catalog.images(REGISTRY, [kept.digest, lost.digest])).values()], [kept]);
});
