/** Which images an index takes, and in which order it shows them. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { MemoryRegistry } from '../../sources/memory-registry.ts';
import { named, TestState } from '../test-state.ts';

suite('globs', () => {
  const tags = ['latest', 'latest-1', 'late', 'stable', '1.0', '1.0-rc.1', 'v2', 'a', '_', 'Latest'];
  const globs: readonly (readonly [patterns: readonly string[], taken: readonly string[]])[] = [
    [['latest'], ['latest']],
    [['lat*'], ['late', 'latest', 'latest-1']],
    [['*'], tags],
    [['?'], ['_', 'a']],
    [['?atest'], ['Latest', 'latest']],
    [['*.*'], ['1.0', '1.0-rc.1']],
    [
      ['v?', '1*'],
      ['1.0', '1.0-rc.1', 'v2'],
    ],
    [['lat*', 'latest', '*'], tags],
    [['**'], tags],
    // Not special in a list of tags.
    [['{latest,stable}', '!latest', '#a', '+(a|b)'], []],
    [[], []],
  ];
  for (const [patterns, taken] of globs) {
    test(`tags ${JSON.stringify(patterns)}`, async (t) => {
      const state = await TestState.open(t, { definitions: [{ tags: patterns }] });
      for (const tag of tags) state.registry.pushImage('app', tag, named(tag));
      await state.rebuild();
      assert.deepEqual(
        await state.shows(),
        taken.toSorted().map((tag) => `app:${tag} ${tag}`),
      );
    });
  }

  test('repositories are included and excluded by globs that stay within a part of the path, unless they are **', async (t) => {
    const repositories = ['apps', 'apps/one', 'apps/two', 'apps/deep/three', 'other/one'];
    const state = await TestState.open(t, {
      definitions: [
        { name: 'star', repositoryInclude: ['apps/*'] },
        { name: 'stars', repositoryInclude: ['apps/**'] },
        { name: 'any', repositoryInclude: ['*/one', 'apps'] },
        { name: 'but', repositoryInclude: ['apps/**'], repositoryExclude: ['apps/deep/*', '*/two'] },
        { name: 'all-but', repositoryExclude: ['**/one'] },
      ],
    });
    for (const repository of repositories) state.registry.pushImage(repository, 'latest', named('x'));
    await state.rebuild();
    const shown = async (index: string): Promise<readonly string[]> =>
      (await state.json(index)).Results.map(({ Name }) => Name);
    assert.deepEqual(await shown('star'), ['apps/one', 'apps/two']);
    assert.deepEqual(await shown('stars'), ['apps/deep/three', 'apps/one', 'apps/two']);
    assert.deepEqual(await shown('any'), ['apps', 'apps/one', 'other/one']);
    assert.deepEqual(await shown('but'), ['apps/one']);
    assert.deepEqual(await shown('all-but'), ['apps', 'apps/deep/three', 'apps/two']);
  });
});

suite('architectures', () => {
  test('only those named are taken, by the config and not the index; an empty list is left out', async (t) => {
    const state = await TestState.open(t, {
      definitions: [{ architectures: ['amd64', 'riscv64'] }, { name: 'none', architectures: [] }],
    });
    const { registry } = state;
    const [amd64, arm64, riscv64] = ['amd64', 'arm64', 'riscv64'].map((architecture) =>
      registry.pushImage('app', undefined, { ...named(architecture), architecture }),
    );
    assert.ok(amd64 && arm64 && riscv64);
    registry.pushIndex('app', 'three', [arm64, amd64, riscv64]);
    registry.pushIndex('app', 'one', [arm64]);
    registry.pushIndex('app', 'nested', [registry.pushIndex('app', undefined, [arm64, amd64])]);
    registry.tag('app', 'alone', riscv64);
    registry.tag('app', 'other', arm64);
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['app:alone riscv64', 'app:nested [amd64]', 'app:three [amd64 riscv64]']);
    assert.deepEqual(await state.shows('none'), []);
  });

  test('two indexes of one repository that differ in their architectures are two lists', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const amd64 = registry.pushImage('app', undefined, named('amd64'));
    const arm64 = registry.pushImage('app', undefined, { ...named('arm64'), architecture: 'arm64' });
    const both = registry.pushIndex('app', 'latest', [amd64, arm64]);
    registry.tag('app', '2', both);
    registry.pushIndex('app', '1', [amd64]);
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['app:1 [amd64]', 'app:2,latest [amd64 arm64]']);
  });
});

suite('requirements', () => {
  test('all required labels and annotations must be present, each in its place', async (t) => {
    const state = await TestState.open(t, {
      definitions: [
        { name: 'labels', requiredLabels: ['one', 'two'] },
        { name: 'annotations', requiredAnnotations: ['one', 'two'] },
        { name: 'both', requiredLabels: ['one'], requiredAnnotations: ['two'] },
        { name: 'inherited', requiredLabels: ['toString'] },
      ],
    });
    const { registry } = state;
    const all = { one: '', two: 'x' };
    registry.pushImage('app', 'as-labels', named('as-labels', all));
    registry.pushImage('app', 'as-annotations', { ...named('as-annotations'), annotations: all });
    registry.pushImage('app', 'one-each', { ...named('one-each', { one: '1' }), annotations: { two: '2' } });
    registry.pushImage('app', 'half', { ...named('half', { one: '1' }), annotations: { one: '1' } });
    registry.pushIndex('app', 'list', [
      registry.pushImage('app', undefined, named('has', all)),
      registry.pushImage('app', undefined, named('has-not')),
    ]);
    await state.rebuild();
    assert.deepEqual(await state.shows('labels'), ['app:as-labels as-labels', 'app:list [has]']);
    assert.deepEqual(await state.shows('annotations'), ['app:as-annotations as-annotations']);
    assert.deepEqual(await state.shows('both'), ['app:one-each one-each']);
    assert.deepEqual(await state.shows('inherited'), []);
  });

  test('requirements are checked before anything is left out', async (t) => {
    const state = await TestState.open(t, {
      definitions: [{ requiredLabels: ['org.flatpak.ref'], skipFlatpakLabels: true }],
    });
    state.registry.pushImage('app', 'latest', named('app', { 'org.flatpak.ref': 'app/x/x86_64/stable' }));
    state.registry.pushImage('other', 'latest', named('other'));
    await state.rebuild();
    assert.deepEqual(
      (await state.json()).Results.map(({ Images }) => Images[0]?.Labels),
      [{ name: 'app' }],
    );
  });
});

suite('order', () => {
  test('repositories by name, images and lists by their tags, tags by themselves, whatever the registry’s order', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    for (const name of ['b', 'a/z', 'a', 'c-1', 'c']) {
      registry.pushImage(name, 'z', named('z'));
      const image = registry.pushImage(name, 'm', named('m'));
      registry.tag(name, 'B', image);
      registry.pushIndex(name, 'y', [image]);
      const list = registry.pushIndex(name, '9', [image, registry.pushImage(name, undefined, named('arm'))]);
      registry.tag(name, '10', list);
    }
    await state.rebuild();
    assert.deepEqual(
      (await state.json()).Results.map(({ Name }) => Name),
      ['a', 'a/z', 'b', 'c', 'c-1'],
    );
    assert.deepEqual((await state.shows()).slice(0, 4), ['a:B,m m', 'a:z z', 'a:10,9 [m arm]', 'a:y [m]']);
  });

  test('images of a list are in its order, each once', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const [c, a, b] = ['c', 'a', 'b'].map((name) => registry.pushImage('app', undefined, named(name)));
    assert.ok(a && b && c);
    registry.pushIndex('app', 'latest', [c, a, registry.pushIndex('app', undefined, [b, a]), c]);
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['app:latest [c a b]']);
  });
});

test('lists that are flattened are images with their tags, in their order and once each', async (t) => {
  const state = await TestState.open(t, { definitions: [{ lists: 'flatten' }, { name: 'kept' }] });
  const { registry } = state;
  const [z, a] = ['z', 'a'].map((name, i) =>
    registry.pushImage('app', undefined, {
      ...named(name, { 'org.flatpak.ref': 'app/A', 'org.flatpak.metadata': '' }),
      architecture: ['arm64', 'amd64'][i] ?? '',
    }),
  );
  assert.ok(z && a);
  registry.pushIndex('app', 'latest', [z, a]);
  registry.tag('app', 'stable', registry.pushIndex('app', 'beta', [a]));
  registry.pushImage('app', 'alone', named('alone'));
  await state.rebuild();
  assert.deepEqual(await state.shows(), ['app:alone alone', 'app:beta,latest,stable a', 'app:latest z']);
  assert.deepEqual(await state.shows('kept'), ['app:alone alone', 'app:beta,stable [a]', 'app:latest [z a]']);
});

test('a digest that is tagged and in a list is shown as both', async (t) => {
  const state = await TestState.open(t);
  const image = state.registry.pushImage('app', 'latest', named('image'));
  state.registry.pushIndex('app', 'list', [image]);
  await state.rebuild();
  assert.deepEqual(await state.shows(), ['app:latest image', 'app:list [image]']);
});

test('tags that an index does not take are not shown, also on what it takes', async (t) => {
  const state = await TestState.open(t, {
    definitions: [{ tags: ['latest'] }, { name: 'secret', tags: ['secret-*'] }],
  });
  const digest = state.registry.pushImage('app', 'latest', named('image'));
  state.registry.tag('app', 'secret-launch', digest);
  await state.rebuild();
  assert.deepEqual(await state.shows(), ['app:latest image']);
  assert.deepEqual(await state.shows('secret'), ['app:secret-launch image']);
});

test('the tag of the delta index is never taken', async (t) => {
  const state = await TestState.open(t, { definitions: [{ tags: ['*'] }, { name: 'named', tags: ['_deltaindex'] }] });
  const { registry } = state;
  registry.pushIndex('app', '_deltaindex', [registry.pushImage('app', undefined, named('delta'))]);
  registry.tag('app', 'latest', registry.pushImage('app', undefined, named('image')));
  await state.rebuild();
  await state.rebuildTags('app', '_deltaindex');
  assert.deepEqual(await state.shows(), ['app:latest image']);
  assert.deepEqual(await state.shows('named'), []);
  assert.ok(!registry.calls.some(({ reference }) => reference === '_deltaindex'), 'it is not read');
});

test('one indexer builds several indexes of several registries', async (t) => {
  const [one, two] = [
    new MemoryRegistry({ id: 'http://one.example.org' }),
    new MemoryRegistry({ id: 'http://two.example.org' }),
  ];
  const state = await TestState.open(t, {
    registries: [one, two],
    definitions: [
      { name: 'first', registry: one.id, tags: ['latest'] },
      { name: 'second', registry: two.id, registryPublic: '/' },
      { name: 'third', registry: one.id },
    ],
  });
  // The same repository and image in both.
  for (const registry of [one, two]) registry.pushImage('app', 'latest', named('app'));
  one.pushImage('app', 'beta', named('beta of one'));
  two.pushImage('app', 'beta', named('beta of two'));
  const results = await Promise.all(
    [one, two].map((registry) => state.indexer.rebuild(registry.id, { indexes: 'all', repositories: new Map() })),
  );
  assert.deepEqual(
    results.map(({ registry, indexes }) => [registry, indexes.map(({ index, images }) => [index, images])]),
    [
      [
        'http://one.example.org',
        [
          ['first', 1],
          ['third', 2],
        ],
      ],
      ['http://two.example.org', [['second', 2]]],
    ],
  );
  assert.deepEqual(await state.shows('first'), ['app:latest app']);
  assert.deepEqual(await state.shows('second'), ['app:beta beta of two', 'app:latest app']);
  assert.deepEqual(await state.shows('third'), ['app:beta beta of one', 'app:latest app']);
  assert.equal((await state.json('second')).Registry, '/');
});
