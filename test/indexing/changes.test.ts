/** Cost of a change: only what it affects is rendered, published and written. */
import assert from 'node:assert/strict';
import { readdir, readFile, rm, symlink } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { IndexDefinition } from '../../src/indexing/index-definition.ts';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import { digestOf, type Digest } from '../../src/registry/digest.ts';
import { storeFiles } from '../../src/store/sqlite/sqlite-store.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { MemoryRegistry } from '../sources/memory-registry.ts';
import { png, pngPath, pngUri } from './png.ts';
import { named, namesIn, TestState } from './test-state.ts';

const ICON = 'org.freedesktop.appstream.icon-64';
const APPS = 200;

function nameOf(app: number): string {
  return `app-${String(app).padStart(3, '0')}`;
}

function versionTag(number: number): string {
  return `v${String(number).padStart(3, '0')}`;
}

function push(registry: MemoryRegistry, app: number, version: string, tag = 'latest'): Digest {
  return registry.pushImage(nameOf(app), tag, {
    labels: {
      ...flatpakLabels({ id: `org.example.App${app}`, name: `App ${app}`, summary: version }),
      name: `${app} ${version}`,
    },
  });
}

/** Pushes a repository with that many images, and some others. */
function pushLarge(registry: MemoryRegistry, images: number): void {
  for (const name of ['a', 'b', 'y', 'z']) registry.pushImage(name, 'latest', named(name));
  for (let number = 0; number < images; number++)
    registry.pushImage('large', versionTag(number), named(String(number)));
}

/** Opens a state of an index with enough apps for several chunks. */
async function openState(t: TestContext, definitions: readonly Partial<IndexDefinition>[] = [{}]): Promise<TestState> {
  const state = await TestState.open(t, { definitions });
  for (let app = 0; app < APPS; app++) push(state.registry, app, 'one');
  await state.rebuild();
  return state;
}

/** Makes `change`; returns the repositories of the chunks that are new after it. */
async function newChunks(
  state: TestState,
  change: () => Promise<unknown>,
  index?: string,
): Promise<readonly (readonly string[])[]> {
  const before = new Set((await state.shown(index)).publication.chunks);
  await change();
  return (await state.shown(index)).chunks
    .filter(({ name }) => !before.has(name))
    .map(({ repositories }) => repositories.map(({ name }) => name));
}

/** Returns the digests of the store's files. */
async function written(state: TestState): Promise<ReadonlyMap<string, string>> {
  const files = (await readdir(state.path('store'))).filter((name) => !name.endsWith('-shm')).toSorted();
  return new Map(
    await Promise.all(files.map(async (name) => [name, digestOf(await readFile(state.path('store', name)))] as const)),
  );
}

/** Returns the number of chunks in the store. */
async function countChunks(state: TestState): Promise<number> {
  await state.indexer.settled();
  const database = new DatabaseSync(storeFiles(state.folder).publications, { readOnly: true });
  try {
    return Number(database.prepare('SELECT count(*) AS chunks FROM chunk').get()?.['chunks']);
  } finally {
    database.close();
  }
}

suite('a rescan with nothing changed', () => {
  test('renders nothing, publishes nothing, and writes nothing to the store', async (t) => {
    const state = await openState(t, [{}, { name: 'other', extractIcons: true }]);
    await state.indexer.settled();
    const [before, publications] = [
      await written(state),
      await Promise.all(['apps', 'other'].map((name) => state.shown(name))),
    ];
    const published: string[] = [];
    const onPublished = (index: string): void => void published.push(index);
    await state.rebuild(undefined, { onPublished });
    await state.rebuildTags(nameOf(7), 'latest');
    await state.rebuildRepository(nameOf(8));
    await state.refresh();
    assert.deepEqual(published, []);
    assert.deepEqual(await written(state), before);
    await state.reopen();
    await state.rebuild(undefined, { onPublished });
    assert.deepEqual(published, []);
    for (const { publication } of publications)
      assert.deepEqual((await state.shown(publication.index)).publication, publication);
  });

  test('that fails publishes nothing', async (t) => {
    const state = await openState(t);
    const { publication } = await state.shown();
    for (const call of [{ method: 'repositories' }, { method: 'tags' }, { method: 'resolve' }] as const) {
      state.registry.fail(call);
      await state.rebuild();
      state.registry.heal();
    }
    assert.deepEqual((await state.shown()).publication, publication);
  });
});

suite('a push', () => {
  test('makes one new chunk and one publication, and asks for its own tag alone', async (t) => {
    const state = await openState(t);
    const { publication: before, chunks } = await state.shown();
    assert.ok(chunks.length > 5);
    push(state.registry, 99, 'two');
    const published: string[] = [];
    const requests = await state.requestsOf(async () => {
      const added = await newChunks(state, () =>
        state.rebuild(
          { indexes: new Set(), repositories: new Map([[nameOf(99), new Set(['latest'])]]) },
          { onPublished: (index, document) => published.push(`${index} ${document}`) },
        ),
      );
      assert.equal(added.length, 1);
      assert.ok(added[0]?.includes(nameOf(99)));
    });
    await state.indexer.settled();
    assert.deepEqual([requests, published], [3, ['apps index', 'apps apps']]);
    const { publication: after } = await state.shown();
    assert.equal(after.chunks.length, before.chunks.length);
    assert.ok(after.version > before.version);
    assert.match(await state.text(), /"name":"99 two"/);
  });

  test('is published for the indexes that take it, and for no others', async (t) => {
    const state = await openState(t, [
      {},
      { name: 'tens', repositoryInclude: ['app-01*'] },
      { name: 'beta', tags: ['beta'] },
    ]);
    push(state.registry, 99, 'two');
    const published: string[] = [];
    await state.rebuild(
      { indexes: new Set(), repositories: new Map([[nameOf(99), new Set(['latest'])]]) },
      { onPublished: (index, document) => published.push(`${index} ${document}`) },
    );
    await state.indexer.settled();
    assert.deepEqual(published, ['apps index', 'apps apps']);
  });

  test('of the same image, or of a tag that moves there and back, publishes nothing new', async (t) => {
    const state = await openState(t);
    const { publication, whole } = await state.shown();
    push(state.registry, 99, 'one');
    await state.rebuildTags(nameOf(99), 'latest');
    assert.deepEqual((await state.shown()).publication, publication);
    push(state.registry, 99, 'two');
    await state.rebuildTags(nameOf(99), 'latest');
    push(state.registry, 99, 'one');
    await state.rebuildTags(nameOf(99), 'latest');
    const after = await state.shown();
    assert.deepEqual([after.publication.chunks, after.whole.tag], [publication.chunks, whole.tag]);
  });

  test('is rendered at the next start without a request if the process is killed before publishing', async (t) => {
    const state = await openState(t, [{}, { name: 'other' }]);
    push(state.registry, 99, 'two');
    push(state.registry, APPS, 'new');
    const killed = new Error('killed');
    const onProgress = ({ phase }: { readonly phase: string }): void => {
      if (phase === 'rendering') throw killed;
    };
    await assert.rejects(state.rebuild(undefined, { onProgress }), killed);
    assert.doesNotMatch(await state.text(), /two|new/);
    await state.reopen();
    const added: string[][] = [];
    const requests = await state.requestsOf(async () => {
      added.push((await newChunks(state, () => state.refresh())).flat());
      await state.reopen();
      await state.refresh();
    });
    assert.equal(requests, 0);
    assert.ok(
      added[0]?.includes(nameOf(99)) && added[0].includes(nameOf(APPS)) && added[0].length < APPS / 2,
      added[0]?.join(),
    );
    for (const index of ['apps', 'other']) assert.match(await state.text(index), /"name":"99 two"[^]*"name":"200 new"/);
  });

  test('has its apps listed at the next start if the process is killed before that', async (t) => {
    const state = await openState(t);
    const stale = await state.store.publications.apps('apps');
    assert.ok(stale);
    push(state.registry, APPS, 'new');
    await state.rebuildTags(nameOf(APPS), 'latest');
    assert.equal((await state.apps()).length, APPS + 1);
    await state.store.publications.putApps('apps', stale);
    await state.reopen();
    assert.equal((await state.apps()).length, APPS);
    await state.refresh();
    assert.equal((await state.apps()).length, APPS + 1);
  });

  test('is shown also if it is read while a lost index is rendered again', async (t) => {
    const state = await openState(t);
    push(state.registry, 99, 'two');
    await state.store.publications.keepIndexes(new Set());
    await state.reopen();
    const held = state.registry.hold({ method: 'resolve', repository: nameOf(99) });
    const rebuild = state.rebuild();
    await held.reached;
    await state.refresh();
    assert.match(await state.text(), /"name":"99 one"/);
    held.release();
    await rebuild;
    assert.match(await state.text(), /"name":"99 two"/);
  });

  test('also renders the chunks of other images of the same ref that win or lose by it, and no others', async (t) => {
    const state = await openState(t);
    const { registry } = state;
    const contested = (repository: string, name: string): void =>
      void registry.pushImage(repository, 'latest', {
        labels: { ...flatpakLabels({ id: 'org.example.Contested', name }), name },
      });
    const first = nameOf(3);
    const [second, third] = [nameOf(100), nameOf(190)];
    const question = flatpakQuery('latest', 'amd64').canonical;
    const winners = async (): Promise<readonly (string | undefined)[]> =>
      namesIn(await state.answer(question)).filter((name) => name?.startsWith('of '));
    for (const repository of [second, third]) {
      contested(repository, `of ${repository}`);
      await state.rebuildTags(repository, 'latest');
    }
    assert.deepEqual(await winners(), [`of ${second}`]);

    // By a push to a third repository, which is the only one notified of.
    contested(first, `of ${first}`);
    const added = await newChunks(state, () => state.rebuildTags(first, 'latest'));
    assert.deepEqual(await winners(), [`of ${first}`]);
    for (const repository of [first, second, third])
      assert.equal(added.filter((names) => names.includes(repository)).length, 1);
    assert.equal(added.length, 3);

    push(registry, 3, 'another app again');
    await state.rebuildTags(first, 'latest');
    assert.deepEqual(await winners(), [`of ${second}`]);
    registry.deleteRepository(second);
    await state.rebuildRepository(second);
    assert.deepEqual(await winners(), [`of ${third}`]);
    assert.deepEqual((await state.apps()).find(({ id }) => id === 'org.example.Contested')?.name, `of ${third}`);
  });

  test('that makes a repository large or small gives the same as a fresh build', async (t) => {
    const state = await TestState.open(t);
    pushLarge(state.registry, 199);
    await state.rebuild();
    let images = 199;
    const slices: number[] = [];
    for (const size of [200, 201, 203, 200, 201, 2, 202, 0]) {
      for (; images < size; images++) state.registry.pushImage('large', versionTag(images), named(String(images)));
      for (; images > size; images--) state.registry.untag('large', versionTag(images - 1));
      await state.rebuildRepository('large');
      const fresh = await TestState.open(t);
      pushLarge(fresh.registry, size);
      await fresh.rebuild();
      assert.equal(await state.text(), await fresh.text(), `${size} images`);
      const [own, expected] = [await state.shown(), await fresh.shown()];
      assert.deepEqual([own.publication.chunks, own.whole.tag], [expected.publication.chunks, expected.whole.tag]);
      slices.push(own.chunks.filter(({ slice }) => slice === 'large').length);
    }
    assert.deepEqual(
      slices.map((number) => number > 1),
      [false, true, true, false, true, false, true, false],
    );
  });
});

suite('chunks that nothing names any more', () => {
  test('are removed an hour later, also if there are only notifications, or another index cannot be built', async (t) => {
    const other = new MemoryRegistry({ id: 'http://other.example.org' });
    other.fail({});
    const state = await TestState.open(t, {
      registries: [new MemoryRegistry(), other],
      definitions: [{}, { name: 'other', registry: other.id }],
    });
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    push(state.registry, 1, 'one');
    await state.rebuild();
    for (let version = 0; version < 30; version++) {
      t.mock.timers.tick(300_000);
      push(state.registry, 1, `version ${version}`);
      await state.rebuildTags(nameOf(1), 'latest');
      // Chunks of an hour and of one cleanup interval, and the current one.
      assert.ok((await countChunks(state)) <= 12 + 3 + 1);
    }
    assert.ok((await countChunks(state)) >= 12);
    t.mock.timers.tick(3_700_000);
    await state.rebuild();
    assert.equal(await countChunks(state), 1);
  });
});

suite('a changed definition', () => {
  test('renders no chunk if only Registry differs', async (t) => {
    const state = await openState(t);
    const { whole: before, publication } = await state.shown();
    assert.deepEqual(
      await newChunks(state, () =>
        state
          .reopen({ definitions: [{ registryPublic: 'https://elsewhere.example.org' }] })
          .then(() => state.refresh()),
      ),
      [],
    );
    const { whole: after, publication: now } = await state.shown();
    assert.notEqual(after.tag, before.tag);
    assert.deepEqual([now.chunks, now.registry], [publication.chunks, 'https://elsewhere.example.org']);
    assert.equal((await state.json()).Registry, 'https://elsewhere.example.org');
  });

  test('of tags renders only the chunks whose content has changed', async (t) => {
    const state = await openState(t);
    for (const app of [50, 51]) push(state.registry, app, 'beta', 'beta');
    await state.rebuild();
    const added = await newChunks(state, () =>
      state.reopen({ definitions: [{ tags: ['latest'] }] }).then(() => state.rebuild()),
    );
    for (const names of added) assert.ok(names.includes(nameOf(50)) || names.includes(nameOf(51)));
    assert.ok(added.length > 0);
    assert.doesNotMatch(await state.text(), /beta/);
  });

  test('of what is required or left out renders only the chunks whose content has changed', async (t) => {
    const state = await openState(t);
    state.registry.pushImage(nameOf(60), 'plain', named('plain'));
    await state.rebuild();
    assert.deepEqual(
      await newChunks(state, () =>
        state.reopen({ definitions: [{ architectures: ['amd64'] }] }).then(() => state.refresh()),
      ),
      [],
    );
    const added = await newChunks(state, () =>
      state.reopen({ definitions: [{ requiredLabels: ['org.flatpak.ref'] }] }).then(() => state.refresh()),
    );
    assert.equal(added.length, 1);
    assert.ok(added[0]?.includes(nameOf(60)));
    assert.doesNotMatch(await state.text(), /plain/);
  });

  test('of how images are shown renders everything', async (t) => {
    const state = await openState(t);
    const added = await newChunks(state, () =>
      state.reopen({ definitions: [{ forceFlatpakToken: true }] }).then(() => state.refresh()),
    );
    assert.equal(added.flat().length, APPS);
  });

  test('back to an earlier selection waits until that was read in full again', async (t) => {
    const state = await TestState.open(t, { definitions: [{ tags: ['latest'] }] });
    for (const app of [1, 2]) for (const tag of ['latest', 'beta']) push(state.registry, app, tag, tag);
    await state.rebuild();
    const before = await state.text();
    // The other tags cannot be read, and the earlier ones are removed.
    await state.reopen({ definitions: [{ tags: ['beta'] }] });
    state.registry.fail({ method: 'manifest', repository: nameOf(2) });
    await state.rebuild();
    assert.equal(await state.text(), before);
    await state.reopen({ definitions: [{ tags: ['latest'] }] });
    const [result] = await state.refresh();
    assert.deepEqual(result?.warnings, ['the index stays as it was: its repositories have not been read in full yet']);
    assert.equal(await state.text(), before);
    state.registry.heal();
    await state.rebuild();
    assert.equal(await state.text(), before);
  });
});

test('a lost catalog leaves the index served, and what is read again renders nothing', async (t) => {
  const state = await openState(t);
  const { publication, whole } = await state.shown();
  await state.loseCatalog();
  assert.deepEqual((await state.shown()).publication, publication);
  await state.refresh();
  assert.deepEqual((await state.shown()).publication, publication);
  assert.deepEqual(await newChunks(state, () => state.rebuild()), []);
  assert.equal((await state.shown()).whole.tag, whole.tag);
  // From here on it continues from the new catalog.
  push(state.registry, 9, 'two');
  assert.equal((await newChunks(state, () => state.rebuildTags(nameOf(9), 'latest'))).length, 1);
});

test('the next full rebuild reads icons with a missing PNG again, and nothing else', async (t) => {
  for (const extractIcons of [true, false]) {
    const state = await openState(t, [{ extractIcons }]);
    const { registry } = state;
    const icons = ['lost', 'kept'];
    for (const icon of icons) registry.pushImage(icon, 'latest', named(icon, { [ICON]: pngUri(icon) }));
    await state.rebuild();
    const before = await state.text();
    const database = new DatabaseSync(storeFiles(state.folder).publications);
    database.prepare('DELETE FROM png WHERE digest = ?').run(digestOf(png('lost')));
    database.close();
    const { publications } = state.store;
    assert.equal(await publications.png(digestOf(png('lost'))), undefined);
    registry.calls.length = 0;
    await state.rebuild();
    assert.deepEqual(
      registry.calls
        .filter(({ method }) => method === 'manifest' || method === 'config')
        .map(({ repository }) => repository),
      ['lost', 'lost'],
    );
    for (const icon of icons) assert.deepEqual(await publications.png(digestOf(png(icon))), png(icon));
    assert.equal(await state.text(), before);
  }
});

test('a publication is reported, also if something fails right after it', async (t) => {
  const state = await TestState.open(t, { definitions: [{ extractIcons: true }] });
  state.registry.pushImage('app', 'latest', named('app', { [ICON]: pngUri('icon') }));
  await state.rebuild();
  // The time of a link to itself cannot be set.
  const file = state.path('icons', pngPath('icon'));
  await rm(file);
  await symlink(file, file);
  state.registry.pushImage('app', 'latest', named('app'));
  const published: string[] = [];
  const [index] = (
    await state.rebuild(
      { indexes: new Set(), repositories: new Map([['app', new Set(['latest'])]]) },
      { onPublished: (name, document) => published.push(`${name} ${document}`) },
    )
  ).indexes;
  assert.match(index?.error ?? '', /ELOOP/);
  await state.indexer.settled();
  assert.deepEqual(published, ['apps index', 'apps apps']);
});
