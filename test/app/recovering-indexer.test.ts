import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { IndexingOptions } from '../../src/app/indexing-options.ts';
import { RecoveringIndexer } from '../../src/app/recovering-indexer.ts';
import { EVERYTHING } from '../../src/indexing/rebuild.ts';
import { storeFiles } from '../../src/store/sqlite/sqlite-store.ts';
import { defineIndex } from '../indexing/test-state.ts';
import { temporaryFolder, writeLayout } from '../registry/layout/write-layout.ts';

const FILLER = 'x'.repeat(20_000);

/** Makes a state of two registries, with an index of each. */
async function openState(t: TestContext): Promise<{ options: IndexingOptions; registries: readonly string[] }> {
  const folder = await temporaryFolder(t);
  const names = ['a', 'b'];
  for (const name of names) await writeLayout(join(folder, name, 'app'), [{ labels: { name, filler: name + FILLER } }]);
  const registries = names.map((name) => `oci:${join(folder, name)}`);
  const options = {
    stateDir: folder,
    iconsDir: join(folder, 'icons'),
    iconsUri: 'icons/',
    cleanFilesAfter: 1000,
    registries: registries.map((id) => ({ id, concurrency: 4, timeout: 1000 })),
    definitions: names.map((name, i) => defineIndex({ name, registry: registries[i] ?? '' })),
  };
  const indexer = await RecoveringIndexer.open(options, { onWarning: assert.fail });
  for (const registry of registries) await indexer.rebuild(registry, EVERYTHING);
  await indexer.close();

  return { options, registries };
}

/** Makes the same state and damages its catalog, in the rows of both registries. */
async function damagedState(t: TestContext): Promise<{ options: IndexingOptions; registries: readonly string[] }> {
  const { options, registries } = await openState(t);
  const file = storeFiles(options.stateDir).catalog;
  const bytes = await readFile(file);
  for (const { name } of options.definitions) bytes.write('y', bytes.indexOf(name + FILLER.slice(0, 1000)) + 100);
  await writeFile(file, bytes);
  // Makes the next rebuild read each image.
  return {
    registries,
    options: {
      ...options,
      definitions: options.definitions.map((definition) => ({ ...definition, registryPublic: '/' })),
    },
  };
}

test('a damaged catalog is replaced once, even if several rebuilds find it', async (t) => {
  const { options, registries } = await damagedState(t);
  const warnings: string[] = [];
  let lost = 0;
  const indexer = await RecoveringIndexer.open(options, {
    onWarning: (warning) => warnings.push(warning),
    onStoreLost: () => lost++,
  });
  t.after(() => indexer.close());
  const results = await Promise.all(registries.map((registry) => indexer.rebuild(registry, EVERYTHING)));
  for (const { failures, newImages, indexes } of results)
    assert.deepEqual(
      [failures, newImages, indexes[0]?.error, indexes[0]?.images, indexes[0]?.warnings],
      [[], 1, undefined, 1, []],
    );
  assert.equal(lost, 1);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /is damaged/);
});

test('onStoreLost says that other registries must be read again', async (t) => {
  const {
    options: {
      registries: [first, second],
      ...options
    },
  } = await damagedState(t);
  assert.ok(first && second);
  const lost = Promise.withResolvers<void>();
  const indexer = await RecoveringIndexer.open(
    { ...options, registries: [first, second] },
    { onWarning: () => {}, onStoreLost: lost.resolve },
  );
  t.after(() => indexer.close());
  const {
    indexes: [recovered],
  } = await indexer.rebuild(first.id, { indexes: new Set(), repositories: new Map([['app', 'all']]) });
  assert.deepEqual([recovered?.error, recovered?.warnings, recovered?.images], [undefined, [], 1]);
  await lost.promise;
  const {
    indexes: [other],
  } = await indexer.rebuild(second.id, EVERYTHING);
  assert.deepEqual([other?.error, other?.warnings, other?.images], [undefined, [], 1]);
});

test('publications that are damaged at the start are replaced, and rebuilt from the catalog', async (t) => {
  const { options, registries } = await openState(t);
  const file = storeFiles(options.stateDir).publications;
  const bytes = await readFile(file);
  // In the head of a chunk.
  bytes.write('y', bytes.indexOf('{"input":"') + 20);
  await writeFile(file, bytes);
  const warnings: string[] = [];
  let lost = 0;
  const indexer = await RecoveringIndexer.open(options, {
    onWarning: (warning) => warnings.push(warning),
    onStoreLost: () => lost++,
  });
  t.after(() => indexer.close());
  await indexer.refresh();
  for (const registry of registries) {
    const { newImages, indexes } = await indexer.rebuild(registry, EVERYTHING);
    assert.deepEqual([newImages, indexes[0]?.error, indexes[0]?.images], [0, undefined, 1]);
  }
  assert.equal(lost, 1);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /the checksum of the chunk [0-9a-f]{64} does not match/);
});
