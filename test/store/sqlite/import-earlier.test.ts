/** Import of the data of version 0.1. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { digestOf } from '../../../src/registry/digest.ts';
import { SqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { contents, DEFINITIONS } from '../../fixtures/state-0.1/contents.ts';
import { TestState } from '../../indexing/test-state.ts';
import type { MemoryRegistry } from '../../sources/memory-registry.ts';
import { temporaryFolder } from '../temporary-folder.ts';

const FIXTURE = join(import.meta.dirname, '..', '..', 'fixtures', 'state-0.1');
const FILE = 'catalog.sqlite';

/** Changes a file by SQL. */
function alter(sql: string): (file: string) => void {
  return (file) => {
    const database = new DatabaseSync(file);
    database.exec(sql);
    database.close();
  };
}

function failOnWarning(warning: string): never {
  throw new Error(warning);
}

/** Opens a state of version 0.1 with this version. */
async function upgraded(t: TestContext, registries: readonly MemoryRegistry[]): Promise<TestState> {
  const state = await TestState.open(t, { registries, definitions: DEFINITIONS });
  await state.close();
  rmSync(state.path('store'), { recursive: true });
  copyFileSync(join(FIXTURE, FILE), state.path(FILE));
  await state.reopen();
  return state;
}

/** Creates the same state with this version. */
async function ofThisVersion(
  t: TestContext,
): Promise<{ readonly state: TestState; readonly registries: readonly MemoryRegistry[] }> {
  const { registries, steps } = contents();
  const state = await TestState.open(t, { registries, definitions: DEFINITIONS });
  for (const step of steps) {
    step();
    for (const { id } of registries) await state.indexer.rebuild(id, { indexes: 'all', repositories: new Map() });
  }
  return { state, registries };
}

/** Returns everything that a store knows of a registry, and the PNGs. */
async function knowledgeOf({ catalog, publications }: SqliteStore, registry: string): Promise<unknown> {
  const { repositories, manifests } = await catalog.known(registry);
  const images = await catalog.images(registry, [...manifests.keys()]);
  const icons = await catalog.icons(registry);
  const refs = [...images.values()].flatMap(({ labels, annotations }) =>
    [labels, annotations].flatMap((texts) => texts['org.flatpak.ref'] ?? []),
  );
  return {
    repositories: [...repositories].map(([name, { tags, ...faults }]) => [name, faults, [...tags.values()]]),
    manifests,
    images,
    icons,
    pngs: new Map(
      await Promise.all([...icons.keys()].map(async (digest) => [digest, await publications.png(digest)] as const)),
    ),
    byRef: await catalog.repositoriesWithRefs(registry, refs),
    held: await catalog.heldTags(registry),
    scanned: await catalog.scanned(registry),
    stored: await catalog.stored(registry),
  };
}

suite('the data of version 0.1', () => {
  test('are imported completely, as this version would store them', async (t) => {
    const { registries } = contents();
    const [earlier, { state: now }] = [await upgraded(t, registries), await ofThisVersion(t)];
    for (const { id } of registries)
      assert.deepEqual(await knowledgeOf(earlier.store, id), await knowledgeOf(now.store, id), id);
    // Checks the fixture itself.
    const troubled = await earlier.store.catalog.known('http://troubled.example.org');
    assert.match(troubled.repositories.get('denied')?.error ?? '', /denied$/);
    assert.equal(troubled.repositories.get('missed')?.missedScans, 1);
    assert.equal(troubled.repositories.get('kept')?.tags.get('latest')?.kept?.length, 1);
    assert.ok(
      [...troubled.manifests.values()].some((manifest) => manifest.kind === 'index' && manifest.faults !== undefined),
    );
    assert.equal((await earlier.store.catalog.heldTags('http://losing.example.org')).size, 29);
    assert.equal((await earlier.store.catalog.icons('http://registry.example.org')).size, 6);
  });

  test('give the same indexes as before, and as a new scan, without a request', async (t) => {
    const { registries } = contents();
    const state = await upgraded(t, registries);
    for (const { id } of registries)
      for (const { error, changed, index } of await state.indexer.refresh(id))
        assert.deepEqual([index, error, changed], [index, undefined, true]);
    for (const { name = '' } of DEFINITIONS)
      assert.deepEqual(await state.json(name), JSON.parse(readFileSync(join(FIXTURE, `${name}.json`), 'utf8')), name);
    for (const registry of registries) assert.deepEqual(registry.calls, []);

    const again = contents();
    const fresh = await TestState.open(t, { registries: again.registries, definitions: DEFINITIONS });
    again.steps[0]?.();
    await fresh.rebuild();
    for (const name of ['apps', 'stable']) {
      assert.equal(await state.text(name), await fresh.text(name));
      assert.equal((await state.shown(name)).whole.tag, (await fresh.shown(name)).whole.tag);
    }
  });

  test('are not fetched again: the next rebuild only asks for tags, and changes nothing', async (t) => {
    const { registries } = await ofThisVersion(t);
    const state = await upgraded(t, registries);
    const [healthy] = registries;
    assert.ok(healthy);
    await state.indexer.refresh(healthy.id);
    const published = async (): Promise<unknown> =>
      Promise.all(['apps', 'stable'].map((name) => state.store.publications.publication(name)));
    const [before, shown] = [healthy.calls.length, await published()];
    await state.rebuild();
    assert.deepEqual(await published(), shown);
    assert.deepEqual(
      new Set(healthy.calls.slice(before).map(({ method }) => method)),
      new Set(['repositories', 'tags', 'resolve']),
    );
  });

  test('stay byte for byte for a downgrade, also the log that a killed process has left', async (t) => {
    const folder = temporaryFolder(t);
    const source = join(folder, 'source.sqlite');
    copyFileSync(join(FIXTURE, FILE), source);
    const killed = new DatabaseSync(source);
    killed.exec("UPDATE repository SET error = 'in the log' WHERE name = 'notes'");
    const state = join(folder, 'a state');
    mkdirSync(state);
    for (const suffix of ['', '-wal']) copyFileSync(source + suffix, join(state, FILE + suffix));
    killed.close();
    const bytes = ['', '-wal'].map((suffix) => readFileSync(join(state, FILE + suffix)));

    const store = SqliteStore.open(state, failOnWarning);
    assert.equal(
      (await store.catalog.known('http://registry.example.org')).repositories.get('notes')?.error,
      'in the log',
    );
    await store.close();
    assert.deepEqual(
      ['', '-wal'].map((suffix) => readFileSync(join(state, FILE + suffix))),
      bytes,
    );
  });

  test('are imported once: later changes to the old file, or the loss of a new one, do not repeat it', async (t) => {
    const folder = temporaryFolder(t);
    copyFileSync(join(FIXTURE, FILE), join(folder, FILE));
    const store = SqliteStore.open(folder, failOnWarning);
    const { id } = store.catalog;
    await store.catalog.commit('http://registry.example.org', [{ kind: 'gone', repository: 'notes' }], () => []);
    await store.close();
    const again = SqliteStore.open(folder, failOnWarning);
    assert.equal(again.catalog.id, id);
    assert.equal((await again.catalog.known('http://registry.example.org')).repositories.has('notes'), false);
    await again.close();
    SqliteStore.setAside(join(folder, 'store', FILE));
    const lost = SqliteStore.open(folder, failOnWarning);
    assert.notEqual(lost.catalog.id, id);
    assert.equal((await lost.catalog.known('http://registry.example.org')).repositories.size, 0);
    await lost.close();
  });

  test('are imported by the next start if a crash interrupted that', async (t) => {
    const folder = temporaryFolder(t);
    copyFileSync(join(FIXTURE, FILE), join(folder, FILE));
    mkdirSync(join(folder, 'store.unfinished'));
    writeFileSync(join(folder, 'store.unfinished', FILE), 'half');
    const store = SqliteStore.open(folder, failOnWarning);
    assert.equal((await store.catalog.known('http://losing.example.org')).repositories.size, 30);
    await store.close();
    assert.deepEqual(
      readdirSync(folder).filter((name) => !name.startsWith(FILE)),
      ['store'],
    );
  });
});

suite('a file that cannot be imported is reported by a warning and stays as it is, and a new store is created', () => {
  const faults: Readonly<Record<string, { readonly make: (file: string) => void; readonly warning: string }>> = {
    'text instead of a database': {
      make: (file) => {
        writeFileSync(file, 'not a database\n'.repeat(1000));
      },
      warning: 'it is damaged: file is not a database',
    },
    'half a file': {
      make: (file) => {
        truncateSync(file, 60_000);
      },
      warning: 'it is damaged: ',
    },
    'an empty file': {
      make: (file) => {
        truncateSync(file, 0);
      },
      warning: 'it is a database of another program',
    },
    'another program’s database': {
      make: alter('PRAGMA application_id = 1234'),
      warning: 'it is a database of another program',
    },
    'tables of an even earlier version': {
      make: alter('PRAGMA user_version = 5'),
      warning: 'its tables are those of another version',
    },
    'a missing table': { make: alter('DROP TABLE held_tag'), warning: 'no such table: earlier.held_tag' },
    'a text that is not JSON': {
      make: alter("UPDATE image SET labels = 'x' WHERE manifest = (SELECT min(manifest) FROM image)"),
      warning: 'malformed JSON',
    },
    'a missing id': { make: alter('DELETE FROM catalog'), warning: 'NOT NULL constraint failed: catalog.id' },
  };
  for (const [fault, { make, warning }] of Object.entries(faults)) {
    test(fault, async (t) => {
      const folder = temporaryFolder(t);
      const file = join(folder, FILE);
      copyFileSync(join(FIXTURE, FILE), file);
      make(file);
      const content = readFileSync(file);

      const warnings: string[] = [];
      const store = SqliteStore.open(folder, (text) => warnings.push(text));
      assert.equal((await store.catalog.known('http://registry.example.org')).repositories.size, 0);
      await store.close();
      assert.equal(warnings.length, 1);
      assert.ok(
        warnings[0]?.startsWith(`${file}, which an earlier version made, cannot be imported (${warning}`),
        warnings[0],
      );
      assert.ok(warnings[0]?.endsWith('): the registries will be read again'), warnings[0]);
      assert.deepEqual(readFileSync(file), content);
      assert.deepEqual(
        readdirSync(folder).filter((name) => !name.startsWith(FILE)),
        ['store'],
      );
      await SqliteStore.open(folder, failOnWarning).close();
    });
  }

  test('a damaged icon is left out, and its images are read again', async (t) => {
    const { registries } = await ofThisVersion(t);
    const state = await TestState.open(t, { registries, definitions: DEFINITIONS });
    await state.close();
    rmSync(state.path('store'), { recursive: true });
    copyFileSync(join(FIXTURE, FILE), state.path(FILE));
    alter("UPDATE png SET bytes = CAST('changed' AS BLOB) WHERE id = (SELECT min(id) FROM png)")(state.path(FILE));
    await state.reopen();
    const { catalog, publications } = state.store;
    const icons = [...(await catalog.icons(state.registry.id)).keys()];
    const [missing, ...others] = await publications.missingPngs(icons);
    assert.ok(missing);
    assert.deepEqual(others, []);
    await state.rebuild();
    assert.deepEqual(await publications.missingPngs(icons), []);
    assert.equal(digestOf((await publications.png(missing)) as Buffer), missing);
  });
});
