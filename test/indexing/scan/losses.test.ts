/** Sudden losses: that most of an index is gone is believed only when a second full scan confirms it. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { EVERYTHING, type RebuildScope } from '../../../src/indexing/rebuild.ts';
import { MemoryRegistry } from '../../sources/memory-registry.ts';
import { named, TestState, type TestStateOptions } from '../test-state.ts';

const APPS = 30;
const ACCEPTING: RebuildScope = { ...EVERYTHING, acceptLosses: true };

/** Opens a state with an index of 30 apps in repositories of their own. */
async function openState(t: TestContext, options: TestStateOptions = {}): Promise<TestState> {
  const state = await TestState.open(t, options);
  for (let app = 0; app < APPS; app++)
    state.registry.pushImage(`app-${app}`, 'latest', named(`app ${app}`, { 'org.flatpak.ref': `app/${app}` }));
  await state.rebuild();
  return state;
}

/** Empties the repositories from `first` on, which the registry still has. */
function lose(registry: MemoryRegistry, first = 0): void {
  for (let app = first; app < APPS; app++) registry.deleteRepository(`app-${app}`, { stays: true });
}

async function shown(state: TestState, index = 'apps'): Promise<number> {
  return (await state.json(index)).Results.length;
}

suite('a full scan that would take most of an index away', () => {
  test('is held until the next one confirms it, also after a restart', async (t) => {
    const state = await openState(t);
    lose(state.registry);
    state.registry.pushImage('new', 'latest', named('new'));
    const { indexes, failures } = await state.rebuild();
    assert.deepEqual(
      [failures, indexes[0]?.held, await shown(state)],
      [[], { images: 30, of: 31 }, 31],
      'what is new is shown',
    );
    assert.match(
      indexes[0]?.warnings[0] ?? '',
      /^the registry says that 30 of its 31 images are gone, .* kept until the next full scan confirms it/,
    );

    await state.reopen({ definitions: [{ registryPublic: '/' }] });
    await state.refresh();
    assert.equal(await shown(state), 31);
    const again = await state.rebuild();
    assert.deepEqual(
      [again.indexes[0]?.held, again.indexes[0]?.warnings, await state.shows()],
      [undefined, [], ['new:latest new']],
    );
    assert.deepEqual(await state.repositories(), ['new']);
  });

  test('is forgotten when the images are back, and held again later', async (t) => {
    const state = await openState(t);
    lose(state.registry);
    await state.rebuild();
    for (let app = 0; app < APPS; app++)
      state.registry.pushImage(`app-${app}`, 'latest', named(`app ${app}`, { 'org.flatpak.ref': `app/${app}` }));
    assert.equal((await state.rebuild()).indexes[0]?.held, undefined);
    lose(state.registry);
    assert.deepEqual((await state.rebuild()).indexes[0]?.held, { images: 30, of: 30 });
    assert.equal(await shown(state), APPS);
  });

  test('is carried out as far as two scans agree', async (t) => {
    const state = await openState(t);
    lose(state.registry, 5);
    await state.rebuild();
    for (let app = 5; app < 15; app++) state.registry.pushImage(`app-${app}`, 'latest', named('back'));
    lose(state.registry, 20);
    await state.rebuild();
    assert.equal(await shown(state), 15);
  });

  test('is carried out at once with acceptLosses, also for repositories that one list left out', async (t) => {
    for (const listed of [true, false]) {
      const state = await openState(t);
      for (let app = 0; app < APPS; app++) state.registry.deleteRepository(`app-${app}`, { stays: listed });
      await state.rebuild();
      assert.equal(await shown(state), APPS);
      const { indexes } = await state.rebuild(ACCEPTING);
      assert.deepEqual([indexes[0]?.held, await shown(state)], [undefined, 0]);
      assert.deepEqual(await state.store.catalog.heldTags(state.registry.id), new Map());
    }
  });

  test('is held if the list of repositories is empty, once that is believed', async (t) => {
    const state = await openState(t);
    for (let app = 0; app < APPS; app++) state.registry.deleteRepository(`app-${app}`);
    const helds = [];
    for (let scan = 0; scan < 3; scan++) helds.push((await state.rebuild()).indexes[0]?.held);
    assert.deepEqual([helds, await shown(state)], [[undefined, { images: 30, of: 30 }, undefined], 0]);
  });

  test('is confirmed only by another scan of whole indexes', async (t) => {
    const state = await openState(t);
    lose(state.registry);
    await state.rebuild();
    await state.rebuildRepository('app-0');
    state.registry.fail({ method: 'tags' });
    await state.rebuild();
    state.registry.heal();
    const { indexes } = await state.rebuild({
      indexes: new Set(),
      repositories: new Map(Array.from({ length: APPS }, (_, app) => [`app-${app}`, 'all'])),
    });
    assert.deepEqual([indexes[0]?.held, await shown(state)], [{ images: 30, of: 30 }, APPS]);
    await state.rebuild({ indexes: new Set(['apps']), repositories: new Map() });
    assert.equal(await shown(state), 0);
  });

  test('is held also in the retry of a failed scan', async (t) => {
    const state = await openState(t);
    state.registry.fail({ method: 'tags' });
    const { failures } = await state.rebuild();
    state.registry.heal();
    lose(state.registry);
    const { indexes } = await state.rebuild({
      indexes: new Set(),
      repositories: new Map(failures.map(({ repository = '' }) => [repository, 'all'])),
    });
    assert.deepEqual([indexes[0]?.held, await shown(state)], [{ images: 30, of: 30 }, APPS]);
  });

  test('is also found among the tags of one repository', async (t) => {
    const state = await TestState.open(t);
    for (let tag = 0; tag < APPS; tag++) state.registry.pushImage('apps', `v${tag}`, named(`app ${tag}`));
    await state.rebuild();
    for (let tag = 1; tag < APPS; tag++) state.registry.untag('apps', `v${tag}`);
    assert.deepEqual((await state.rebuild()).indexes[0]?.held, { images: 29, of: 30 });
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['apps:v0 app 0']);
  });

  test('is measured by what an index shows, and held for the index that loses images', async (t) => {
    const definitions = [
      { name: 'apps', requiredLabels: ['org.flatpak.ref'] },
      { name: 'all' },
      { name: 'few', repositoryInclude: ['app-1*'] },
    ];
    const state = await openState(t, { definitions });
    for (let image = 0; image < 100; image++)
      state.registry.pushImage(`image-${image}`, 'latest', named(`image ${image}`));
    await state.rebuild();
    lose(state.registry);
    for (let image = 0; image < 10; image++) state.registry.deleteRepository(`image-${image}`, { stays: true });
    const { indexes } = await state.rebuild();
    assert.deepEqual(
      indexes.map(({ held }) => held),
      [
        { images: 30, of: 30 },
        { images: 30, of: 120 },
        { images: 11, of: 11 },
      ],
    );
    assert.deepEqual([await shown(state), await shown(state, 'all'), await shown(state, 'few')], [30, 120, 11]);
    await state.rebuild();
    assert.deepEqual([await shown(state), await shown(state, 'all'), await shown(state, 'few')], [0, 90, 0]);
  });

  for (const [why, options] of [
    ['whose catalog was lost', {}],
    ['that is made from another registry', { definitions: [{ registry: 'http://other.example.org' }] }],
  ] as const) {
    test(`is held for an index ${why}`, async (t) => {
      const other = new MemoryRegistry({ id: 'http://other.example.org' });
      const state = await openState(t, { registries: [new MemoryRegistry(), other] });
      const registry = 'definitions' in options ? other : state.registry;
      for (let app = 0; app < APPS; app++) state.registry.deleteRepository(`app-${app}`);
      registry.pushImage('new', 'latest', named('new'));
      if (registry === other) await state.reopen(options);
      else await state.loseCatalog();
      const { indexes } = await state.indexer.rebuild(registry.id, EVERYTHING);
      assert.deepEqual([indexes[0]?.held, await shown(state)], [{ images: 30, of: 31 }, APPS]);
      assert.match(indexes[0]?.warnings[0] ?? '', /^the index stays as it was: .*, and app-0 is gone now$/);
      await state.indexer.rebuild(registry.id, EVERYTHING);
      assert.deepEqual(await state.shows(), ['new:latest new']);
    });
  }
});

test('losses that are small, at most half of an index, from notifications, or replaced by other images are believed at once', async (t) => {
  const few = await TestState.open(t);
  for (let app = 0; app < 20; app++) few.registry.pushImage(`app-${app}`, 'latest', named(`app ${app}`));
  await few.rebuild();
  for (let app = 0; app < 20; app++) few.registry.deleteRepository(`app-${app}`, { stays: true });
  await few.rebuild();
  assert.equal(await shown(few), 0);

  const half = await openState(t);
  lose(half.registry, 15);
  await half.rebuild();
  assert.equal(await shown(half), 15);

  const notified = await openState(t);
  lose(notified.registry);
  await notified.rebuild({
    indexes: new Set(),
    repositories: new Map(Array.from({ length: APPS }, (_, app) => [`app-${app}`, 'all'])),
  });
  assert.equal(await shown(notified), 0);

  const renewed = await openState(t);
  for (let app = 0; app < APPS; app++) {
    renewed.registry.untag(`app-${app}`, 'latest');
    renewed.registry.pushImage(`app-${app}`, 'newest', named(`new ${app}`));
  }
  assert.equal((await renewed.rebuild()).indexes[0]?.held, undefined);
  assert.ok((await renewed.shows()).every((its) => its.includes(':newest ')));
});
