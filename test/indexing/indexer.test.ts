/** What rebuilds publish and when, and that the same images give the same bytes. */
import assert from 'node:assert/strict';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { IndexDefinition } from '../../src/indexing/index-definition.ts';
import { EVERYTHING } from '../../src/indexing/rebuild.ts';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import type { Digest } from '../../src/registry/digest.ts';
import { StoreError } from '../../src/store/store-error.ts';
import { storeFiles } from '../../src/store/sqlite/sqlite-store.ts';
import { MemoryRegistry } from '../sources/memory-registry.ts';
import { pngUri } from './png.ts';
import { named, namesIn, TestState } from './test-state.ts';

const ICON = 'org.freedesktop.appstream.icon-64';

/** Pushes two apps with lists of two architectures, and a single image, in one order or the reverse. */
function fill(registry: MemoryRegistry, order: 'forwards' | 'backwards' = 'forwards'): void {
  const inOrder = <T>(all: readonly T[]): readonly T[] => (order === 'forwards' ? all : all.toReversed());
  for (const app of inOrder(['one', 'two'])) {
    for (const tag of inOrder(['latest', 'beta'])) {
      const push = (architecture: string): Digest =>
        registry.pushImage(app, undefined, {
          ...named(`${app} ${tag} ${architecture}`, { 'org.flatpak.ref': `app/${app}`, [ICON]: pngUri(app) }),
          architecture,
        });
      const images = new Map(inOrder(['amd64', 'arm64']).map((architecture) => [architecture, push(architecture)]));
      registry.pushIndex(
        app,
        tag,
        ['amd64', 'arm64'].flatMap((architecture) => images.get(architecture) ?? []),
      );
    }
  }
  registry.pushImage('runtime', 'latest', named('runtime', { 'org.flatpak.ref': 'runtime' }));
}

suite('the same images give the same bytes', () => {
  test('over rebuilds, reverted changes, restarts and fresh states', async (t) => {
    const definitions = [{ extractIcons: true }];
    const state = await TestState.open(t, { definitions });
    fill(state.registry);
    await state.rebuild();
    const first = await allOf(state);

    const beta = state.registry.pushImage('one', 'new', named('new'));
    await state.rebuild();
    assert.notDeepEqual(await allOf(state), first);
    state.registry.deleteManifest('one', beta);
    await state.rebuild();
    assert.deepEqual(await allOf(state), first);

    await state.reopen();
    await state.rebuild();
    assert.deepEqual(await allOf(state), first);

    const second = await TestState.open(t, { definitions });
    fill(second.registry, 'backwards');
    await second.rebuild();
    assert.deepEqual(await allOf(second), first);
  });

  test('answers to Flatpak’s questions are ready for each tag and architecture, and equal ones are stored once', async (t) => {
    const state = await TestState.open(t);
    fill(state.registry);
    await state.rebuild();
    const index = await state.index();
    const combinations = ['latest', 'beta'].flatMap((tag) =>
      ['amd64', 'arm64'].map((architecture) => ({ field: 'label', tag, architecture }) as const),
    );
    const imagesOf = (question: (typeof combinations)[number]) =>
      index.shown?.chunks.reduce((sum, chunk) => sum + (chunk.readyPart(question)?.images ?? NaN), 0);
    assert.deepEqual(combinations.map(imagesOf), [3, 2, 2, 2]);
    for (const { tag, architecture } of [...combinations, { tag: 'none', architecture: 'amd64' }])
      assert.ok(index.question(flatpakQuery(tag, architecture).canonical).document);

    const single = await TestState.open(t);
    single.registry.tag(
      'app',
      '1',
      single.registry.pushImage('app', 'latest', named('app', { 'org.flatpak.ref': 'app' })),
    );
    await single.rebuild();
    const [chunk] = (await single.shown()).chunks;
    assert.deepEqual(
      chunk?.ready.map(({ tag }) => tag),
      ['1', 'latest'],
    );
    for (const question of chunk?.ready ?? []) assert.equal(chunk?.readyPart(question), chunk?.whole);
  });

  test('with many tags, only questions that many repositories answer are ready', async (t) => {
    const state = await TestState.open(t);
    // All in one chunk.
    const apps = ['a', 'b', 'c', 'd', 'e'];
    for (const app of apps) state.registry.pushImage(app, 'stable', named(app, { 'org.flatpak.ref': app }));
    for (let version = 0; version < 70; version++)
      state.registry.pushImage('a', `1.${version}`, named(`a ${version}`, { 'org.flatpak.ref': 'a' }));
    await state.rebuild();
    const { chunks } = await state.shown();
    assert.deepEqual(
      chunks.map(({ ready, repositories }) => [repositories.length, ready]),
      [[apps.length, [{ field: 'label', tag: 'stable', architecture: 'amd64' }]]],
    );
    assert.deepEqual(namesIn(await state.answer(flatpakQuery('stable', 'amd64').canonical)), apps);
    assert.deepEqual(namesIn(await state.answer(flatpakQuery('1.7', 'amd64').canonical)), ['a 7']);
  });

  test('with flatpak_annotations, the questions of old clients are ready, too', async (t) => {
    const state = await TestState.open(t, { definitions: [{ flatpakAnnotations: true }] });
    fill(state.registry);
    await state.rebuild();
    const index = await state.index();
    const imagesOf = (field: 'label' | 'annotation') =>
      index.shown?.chunks.reduce(
        (sum, chunk) => sum + (chunk.readyPart({ field, tag: 'latest', architecture: 'amd64' })?.images ?? NaN),
        0,
      );
    assert.deepEqual([imagesOf('annotation'), imagesOf('label')], [3, 0]);
  });
});

suite('an unchanged index', () => {
  test('is left alone: neither a publication nor an output is written, and nothing is reported', async (t) => {
    const state = await TestState.open(t);
    const output = state.path('public', 'index', 'apps.json');
    await state.reopen({ definitions: [{ output, extractIcons: true }] });
    fill(state.registry);
    const published: string[] = [];
    const onPublished = (index: string, document: string): void => void published.push(`${index} ${document}`);
    const first = await state.rebuild(undefined, { onPublished });
    assert.equal(first.indexes[0]?.changed, true);
    assert.deepEqual(published, ['apps index', 'apps apps']);

    const before = [(await state.shown()).publication, await identityOf(output)];
    for (const again of [
      () => state.rebuild(undefined, { onPublished }),
      () => state.reopen().then(() => state.rebuild(undefined, { onPublished })),
      () => state.rebuildTags('one', 'latest'),
    ]) {
      const { indexes } = await again();
      assert.deepEqual(
        [indexes[0]?.changed, indexes[0]?.images, indexes[0]?.bytes],
        [false, first.indexes[0]?.images, first.indexes[0]?.bytes],
      );
    }
    assert.deepEqual(published, ['apps index', 'apps apps']);
    assert.deepEqual([(await state.shown()).publication, await identityOf(output)], before);
  });

  test('keeps the time of its last change while other things around it change', async (t) => {
    const state = await TestState.open(t);
    fill(state.registry);
    await state.rebuild();
    const { modified } = (await state.shown()).publication;
    assert.equal(modified % 1000, 0);
    assert.ok(Math.abs(Date.now() - modified) < 60_000);

    t.mock.timers.enable({ apis: ['Date'], now: modified + 3_600_000 });
    // The definition differs, so that it is published again, but the content does not.
    await state.reopen({ definitions: [{ repositoryExclude: ['nothing/like/this'] }] });
    const { indexes } = await state.rebuild();
    assert.equal(indexes[0]?.changed, false);
    assert.equal((await state.shown()).publication.modified, modified);

    state.registry.pushImage('three', 'latest', named('three'));
    await state.rebuild();
    assert.equal((await state.shown()).publication.modified, modified + 3_600_000);
  });

  test('follows a change of its definition without asking the registry', async (t) => {
    const state = await TestState.open(t);
    fill(state.registry);
    await state.rebuild();
    await state.reopen({
      definitions: [{ registryPublic: 'https://elsewhere.example.org', architectures: ['arm64'] }],
    });
    const requests = state.registry.requests;
    const [result] = await state.refresh();
    assert.equal(result?.changed, true);
    assert.equal(state.registry.requests, requests);
    const { Registry, Results } = await state.json();
    assert.equal(Registry, 'https://elsewhere.example.org');
    assert.deepEqual(
      Results.map(({ Name }) => Name),
      ['one', 'two'],
    );
  });

  test('reports once, at the next rebuild, what a change of its definition changed', async (t) => {
    const state = await TestState.open(t);
    for (const name of ['kept', 'gone'])
      state.registry.pushImage(
        name,
        'latest',
        named(name, { 'org.flatpak.ref': `app/org.example.${name}/x86_64/stable`, 'org.flatpak.metadata': '' }),
      );
    await state.rebuild();
    await state.reopen({ definitions: [{ repositoryExclude: ['gone'] }] });
    await state.refresh();
    await state.refresh();
    state.registry.pushImage(
      'new',
      'latest',
      named('new', { 'org.flatpak.ref': 'app/org.example.new/x86_64/stable', 'org.flatpak.metadata': '' }),
    );
    const [told] = (await state.rebuild()).indexes;
    assert.equal(told?.changed, true);
    assert.deepEqual(told.apps, {
      added: { count: 1, ids: ['org.example.new'] },
      updated: { count: 0, ids: [] },
      removed: { count: 1, ids: ['org.example.gone'] },
    });
    const [again] = (await state.rebuild()).indexes;
    assert.deepEqual([again?.changed, again?.apps], [false, undefined]);
  });
});

test('seconds are rounded to milliseconds', async (t) => {
  const state = await TestState.open(t);
  fill(state.registry);
  const { seconds, indexes } = await state.rebuild();
  for (const value of [seconds, indexes[0]?.seconds]) assert.match(String(value), /^\d+(?:\.\d{1,3})?$/);
});

suite('what is published', () => {
  test('an empty registry is an index with no results', async (t) => {
    const state = await TestState.open(t);
    const { indexes } = await state.rebuild();
    assert.deepEqual([indexes[0]?.images, indexes[0]?.changed], [0, true]);
    assert.equal(await state.text(), '{"Registry":"http://registry.example.org","Results":[]}');
  });

  test('Images and Lists are always present, also if empty', async (t) => {
    const state = await TestState.open(t);
    state.registry.pushImage('image', 'latest', named('image'));
    state.registry.pushIndex('list', 'latest', [state.registry.pushImage('list', undefined, named('list'))]);
    await state.rebuild();
    const { Results } = await state.json();
    assert.deepEqual(
      Results.map(({ Images, Lists }) => [Images.length, Lists.length]),
      [
        [1, 0],
        [0, 1],
      ],
    );
  });

  const losses: Readonly<Record<string, (state: TestState) => Promise<void>>> = {
    'is gone': async (state) => {
      await state.close();
      for (const suffix of ['', '-wal', '-shm'])
        await rm(storeFiles(state.folder).publications + suffix, { force: true });
    },
    'has lost a chunk': async (state) => {
      await state.close();
      const database = new DatabaseSync(storeFiles(state.folder).publications);
      database.exec('DELETE FROM chunk WHERE id = (SELECT max(id) FROM chunk)');
      database.close();
    },
    'is of another version of the program': async (state) => {
      const { publication } = await state.shown();
      await state.store.publications.publish(
        { ...publication, version: publication.version + 1, format: 'another' },
        [],
      );
    },
  };
  for (const [loss, lose] of Object.entries(losses)) {
    test(`is rendered again from the catalog if it ${loss}, with a new version`, async (t) => {
      const state = await TestState.open(t);
      for (const name of ['one', 'two']) state.registry.pushImage(name, 'latest', named(name));
      await state.rebuild();
      const [text, { publication: before }] = [await state.text(), await state.shown()];
      await lose(state);
      await state.reopen();
      const requests = state.registry.requests;
      const [result] = await state.refresh();
      assert.equal(result?.error, undefined);
      assert.equal(state.registry.requests, requests);
      assert.equal(await state.text(), text);
      const { publication: after } = await state.shown();
      assert.deepEqual(after.chunks, before.chunks);
      assert.ok(after.version > before.version);
    });
  }

  test('stays if the next one cannot be written, and the error says why', async (t) => {
    const state = await TestState.open(t, { definitions: [{ extractIcons: true }, { name: 'other' }] });
    state.registry.pushImage('one', 'latest', named('one'));
    await state.rebuild();
    // A file in place of the icons' folder, so that none can be written.
    await writeFile(state.path('icons'), '');
    state.registry.pushImage('two', 'latest', named('two', { [ICON]: pngUri('icon') }));
    const { indexes, failures } = await state.rebuild({ indexes: new Set(['apps', 'other']), repositories: new Map() });
    assert.deepEqual(failures, []);
    assert.match(indexes[0]?.error ?? '', /icons/);
    assert.equal(indexes[0]?.changed, false);
    assert.deepEqual(await state.shows(), ['one:latest one']);
    assert.deepEqual(await state.shows('other'), ['one:latest one', 'two:latest two']);

    await rm(state.path('icons'));
    assert.equal((await state.rebuild()).indexes[0]?.changed, true);
    assert.deepEqual(await state.shows(), ['one:latest one', 'two:latest two']);
  });

  test('is removed by the next full rebuild if the index is not configured any more', async (t) => {
    const state = await TestState.open(t, { definitions: [{ name: 'stays' }, { name: 'goes' }] });
    await state.rebuild();
    await state.reopen({ definitions: [{ name: 'stays' }] });
    await state.refresh();
    assert.deepEqual(await state.store.publications.published(), ['goes', 'stays']);
    await state.rebuild();
    assert.deepEqual(await state.store.publications.published(), ['stays']);
  });

  test('shows what has changed while the index was not configured for a moment', async (t) => {
    const state = await TestState.open(t, { definitions: [{ name: 'stays' }, { name: 'back' }] });
    fill(state.registry);
    await state.rebuild();
    await state.reopen({ definitions: [{ name: 'stays' }] });
    state.registry.pushImage('three', 'latest', named('three'));
    await state.rebuildTags('three', 'latest');
    await state.reopen({ definitions: [{ name: 'stays' }, { name: 'back' }] });
    await state.refresh();
    assert.equal(await state.text('back'), await state.text('stays'));
  });
});

suite('an index is made only from what was read in full', () => {
  test('not before the first scan: the output of another program stays until then', async (t) => {
    const state = await TestState.open(t);
    const output = state.path('apps.json');
    await state.reopen({ definitions: [{ output }] });
    await writeFile(output, 'from the program before');
    fill(state.registry);
    state.registry.fail({ method: 'repositories' });
    const results = [
      await state.refresh(),
      (await state.rebuild()).indexes,
      (await state.rebuildTags('one', 'latest')).indexes,
    ];
    for (const [result] of results) {
      assert.deepEqual([result?.images, result?.changed, result?.error], [0, false, undefined]);
      assert.deepEqual(result?.warnings, [
        'the index is not built yet: its repositories have not been read in full yet',
      ]);
    }
    assert.deepEqual(await state.store.publications.published(), []);
    assert.equal(await state.outputText(output), 'from the program before');

    state.registry.heal();
    await state.rebuild();
    assert.equal((await state.json()).Results.length, 3);
    assert.equal(await state.outputText(output), await state.text());
  });

  test('a scan that was cut short is not enough, also after a restart', async (t) => {
    const state = await TestState.open(t);
    fill(state.registry);
    const held = state.registry.hold({ method: 'tags', repository: 'two' });
    const abort = new AbortController();
    const rebuild = state.rebuild(undefined, { signal: abort.signal });
    await held.reached;
    abort.abort();
    await assert.rejects(rebuild);
    await state.reopen();
    await state.refresh();
    assert.deepEqual(await state.store.publications.published(), []);
  });

  for (const [what, call] of [
    ['its repositories', { method: 'tags' }],
    ['their tags', { method: 'manifest' }],
  ] as const) {
    test(`an index of which nothing is known is not made as an empty one while ${what} cannot be read, also after a restart`, async (t) => {
      const state = await TestState.open(t, {
        definitions: [
          { name: 'a', requiredLabels: ['org.flatpak.ref'] },
          { name: 'b', repositoryInclude: ['two'] },
        ],
      });
      fill(state.registry);
      state.registry.fail(call);
      const rebuilt = (await state.rebuild()).indexes;
      await state.reopen();
      for (const indexes of [rebuilt, await state.refresh(), (await state.rebuildTags('one', 'nightly')).indexes]) {
        assert.match(
          indexes[0]?.warnings[0] ?? '',
          /^the index is not built yet: it would be empty, and one \(and 2 more\) could not be read$/,
        );
        assert.match(
          indexes[1]?.warnings[0] ?? '',
          /^the index is not built yet: it would be empty, and two could not be read$/,
        );
      }
      assert.deepEqual(await state.store.publications.published(), []);

      state.registry.heal();
      state.registry.fail({ ...call, repository: 'two' });
      await state.rebuild();
      assert.deepEqual(await state.store.publications.published(), ['a'], 'something of it could be read');
      state.registry.heal();
      await state.rebuildRepository('two');
      assert.equal((await state.json('b')).Results.length, 1);
    });
  }

  test('an index that is really empty is built, also if one of its repositories cannot be read', async (t) => {
    const state = await TestState.open(t, { definitions: [{ requiredLabels: ['org.flatpak.ref'] }] });
    await state.rebuild();
    assert.deepEqual((await state.json()).Results, []);
    await state.store.publications.keepIndexes(new Set());
    await state.reopen();
    for (const repository of ['one', 'two']) state.registry.pushImage(repository, 'latest', named(repository));
    state.registry.fail({ repository: 'two' }, 'denied');
    await state.rebuild();
    assert.deepEqual((await state.json()).Results, []);
  });

  test('after a change of its tags or repositories, the index stays as it was until they were read', async (t) => {
    const state = await TestState.open(t, { definitions: [{ tags: ['latest'] }] });
    fill(state.registry);
    await state.rebuild();
    const before = await state.text();
    for (const definition of [{ tags: ['beta'] }, { tags: ['latest'], repositoryInclude: ['one', 'other'] }]) {
      await state.reopen({ definitions: [definition] });
      const [result] = await state.refresh();
      assert.deepEqual(result?.warnings, [
        'the index stays as it was: its repositories have not been read in full yet',
      ]);
      assert.equal(await state.text(), before);
    }
    await state.reopen({ definitions: [{ tags: ['beta'] }] });
    await state.rebuild();
    assert.deepEqual(
      (await state.shows()).map((shown) => shown.split(' ')[0]),
      ['one:beta', 'two:beta'],
    );
  });

  test('a rebuild of one index is enough for that one', async (t) => {
    const state = await TestState.open(t, {
      definitions: [
        { name: 'a', tags: ['latest'] },
        { name: 'b', tags: ['beta'] },
      ],
    });
    fill(state.registry);
    await state.rebuild({ indexes: new Set(['a']), repositories: new Map() });
    assert.deepEqual(await state.store.publications.published(), ['a']);
    await state.rebuild({ indexes: new Set(['b']), repositories: new Map() });
    assert.deepEqual(await state.store.publications.published(), ['a', 'b']);
    assert.equal((await state.json('b')).Results.length, 2);
    state.registry.pushImage('three', 'latest', named('three'));
    await state.rebuildTags('three', 'latest');
    assert.equal((await state.json('a')).Results.length, 4);
  });

  suite('and when the catalog was lost', () => {
    test('the previous index stays until the registry was read again', async (t) => {
      const { state, before } = await loseCatalog(t);
      const { publication } = await state.shown();
      await state.refresh();
      await state.rebuildTags('one', 'latest');
      await state.rebuildRepository('two');
      state.registry.fail({ method: 'repositories' });
      const { indexes } = await state.rebuild();
      assert.deepEqual(indexes[0]?.warnings, [
        'the index stays as it was: its repositories have not been read in full yet',
      ]);
      assert.deepEqual(indexes[0]?.images, 9);
      assert.deepEqual((await state.shown()).publication, publication);

      state.registry.heal();
      assert.equal((await state.rebuild()).indexes[0]?.changed, false);
      assert.equal(await state.text(), before);

      // From here on, what was known is in the new catalog.
      state.registry.pushImage('three', 'latest', named('three'));
      state.registry.fail({ repository: 'two' });
      assert.equal((await state.rebuild()).indexes[0]?.changed, true);
      assert.deepEqual(
        (await state.json()).Results.map(({ Name }) => Name),
        ['one', 'runtime', 'three', 'two'],
      );
    });

    test('and as long as a repository that it shows cannot be read; then one read of it is enough', async (t) => {
      const { state, before } = await loseCatalog(t);
      state.registry.pushImage('three', 'latest', named('three'));
      state.registry.fail({ method: 'manifest', repository: 'two', reference: 'beta' });
      const { indexes } = await state.rebuild();
      assert.deepEqual(indexes[0]?.warnings, [
        'the index stays as it was: the catalog that it was built from is lost, and two could not be read since then: tag beta: http://registry.example.org manifest two beta: unavailable',
      ]);
      await state.reopen();
      await state.refresh();
      await state.rebuildTags('two', 'latest');
      assert.equal(await state.text(), before);

      state.registry.heal();
      assert.equal((await state.rebuildRepository('two')).indexes[0]?.changed, true);
      assert.deepEqual(
        (await state.json()).Results.map(({ Name }) => Name),
        ['one', 'runtime', 'three', 'two'],
      );
    });

    test('a list that is cut short does not make an app vanish, and the registry is asked for it', async (t) => {
      const { state, before } = await loseCatalog(t);
      state.registry.unlist('two');
      const { indexes, failures } = await state.rebuild();
      assert.deepEqual([indexes[0]?.changed, failures], [false, []]);
      assert.equal(await state.text(), before);
    });

    test('a list that is cut short, with what it leaves out failing, leaves the index as it was', async (t) => {
      const { state, before } = await loseCatalog(t);
      state.registry.unlist('two');
      state.registry.fail({ method: 'tags', repository: 'two' });
      state.registry.deleteRepository('runtime');
      await state.rebuild();
      assert.equal(await state.text(), before);
      state.registry.heal();
      await state.rebuild();
      assert.deepEqual(
        (await state.json()).Results.map(({ Name }) => Name),
        ['one', 'two'],
      );
    });

    test('a repository that it never showed may fail', async (t) => {
      const { state } = await loseCatalog(t);
      state.registry.pushImage('denied', 'latest', named('denied'));
      state.registry.fail({ repository: 'denied' }, 'denied');
      state.registry.deleteRepository('two');
      const { indexes, failures } = await state.rebuild();
      assert.equal(failures.length, 1);
      assert.equal(indexes[0]?.changed, true);
      assert.deepEqual(
        (await state.json()).Results.map(({ Name }) => Name),
        ['one', 'runtime'],
      );

      // From here on, what was known is in this catalog.
      state.registry.pushImage('one', 'new', named('new'));
      state.registry.fail({ repository: 'runtime' });
      await state.rebuildTags('one', 'new');
      assert.deepEqual(
        (await state.json()).Results.map(({ Name, Images }) => [Name, Images.length]),
        [
          ['one', 1],
          ['runtime', 1],
        ],
      );
    });

    test('its output file and its icons stay as well', async (t) => {
      const state = await TestState.open(t);
      const output = state.path('apps.json');
      await state.reopen({ definitions: [{ output, extractIcons: true }], cleanFilesAfter: 0 });
      fill(state.registry);
      await state.rebuild();
      const icons = await readdir(state.path('icons'), { recursive: true });
      const text = await state.text();
      await state.loseCatalog();
      state.registry.fail({ repository: 'one' });
      await rm(output);
      await state.rebuild();
      assert.equal(await state.outputText(output), text);
      assert.deepEqual(await readdir(state.path('icons'), { recursive: true }), icons);
    });
  });
});

test('what is being rendered is not pruned', async (t) => {
  const state = await TestState.open(t);
  for (let image = 0; image < 50; image++) state.registry.pushImage(`app-${image}`, 'latest', named(`${image} before`));
  await state.rebuild();
  await state.reopen({ definitions: [{ requiredLabels: ['name'] }] });
  for (let image = 0; image < 50; image++) state.registry.pushImage(`app-${image}`, 'latest', named(`${image} after`));
  const images: number[] = [];
  await Promise.all([state.refresh().then(([result]) => images.push(result?.images ?? 0)), state.rebuild()]);
  assert.deepEqual(images, [50]);
  assert.equal((await state.json()).Results.length, 50);
});

test('an output that cannot be written is named with its key', async (t) => {
  const state = await TestState.open(t);
  const output = state.path('file/apps.json');
  await writeFile(state.path('file'), '');
  await state.reopen({ definitions: [{ output }] });
  const { indexes } = await state.rebuild();
  assert.match(indexes[0]?.error ?? '', /^indexes\.apps\.output: .*file\/apps\.json could not be written: E/);
});

suite('a changed index configuration', () => {
  test('with another registry stays as it was until everything that it shows could be read there', async (t) => {
    const [first, second] = [new MemoryRegistry(), new MemoryRegistry({ id: 'http://other.example.org' })];
    const state = await TestState.open(t, { registries: [first, second] });
    fill(first);
    fill(second);
    second.deleteRepository('runtime');
    await state.rebuild();
    await state.reopen({ definitions: [{ registry: second.id }] });
    second.fail({ repository: 'two' });
    const { indexes } = await state.indexer.rebuild(second.id, EVERYTHING);
    assert.deepEqual(indexes[0]?.warnings, [
      'the index stays as it was: its registry, tags or repositories were configured differently, and two could not be read since then: http://other.example.org tags two: unavailable',
    ]);
    assert.deepEqual(
      (await state.json()).Results.map(({ Name }) => Name),
      ['one', 'runtime', 'two'],
    );
    second.heal();
    await state.indexer.rebuild(second.id, EVERYTHING);
    assert.deepEqual(
      [await state.repositories(first.id), await state.store.catalog.scanned(first.id)],
      [[], []],
      'data of a registry that is not read any more are removed',
    );
    assert.deepEqual(
      (await state.json()).Results.map(({ Name }) => Name),
      ['one', 'two'],
    );
  });

  test('with other tags stays as it was until everything that it shows and takes could be read', async (t) => {
    const state = await TestState.open(t, { definitions: [{ tags: ['beta'] }] });
    fill(state.registry);
    await state.rebuild();
    await state.reopen({ definitions: [{ tags: ['latest'] }] });
    state.registry.fail({ repository: 'two' });
    await state.rebuild();
    assert.deepEqual(
      (await state.json()).Results.map(({ Name, Lists }) => [Name, Lists[0]?.Tags]),
      [
        ['one', ['beta']],
        ['two', ['beta']],
      ],
    );
    // What the index does not take any more does not have to be read.
    await state.reopen({ definitions: [{ tags: ['latest'], repositoryExclude: ['two'] }, { name: 'other' }] });
    await state.rebuild();
    assert.deepEqual(
      (await state.json()).Results.map(({ Name }) => Name),
      ['one', 'runtime'],
    );
  });
});

test('damage to the catalog found while rendering is thrown, so that the catalog can be set aside', async (t) => {
  const state = await TestState.open(t);
  for (let number = 0; number < 20; number++)
    state.registry.pushImage('app', `tag-${number}`, named(`image ${number}`, { filler: 'x'.repeat(20_000) }));
  await state.rebuild();
  const text = await state.text();
  await state.close();
  const bytes = await readFile(state.catalogFile);
  bytes.write('y', bytes.lastIndexOf('x'.repeat(1000)));
  await writeFile(state.catalogFile, bytes);
  await state.reopen({ definitions: [{ registryPublic: '/' }] });
  await assert.rejects(state.refresh(), (error) => error instanceof StoreError && error.code === 'corrupt');
  assert.equal(await state.text(), text);
});

/**
 * Returns everything that clients can see, except for the time: the whole index and the ready answers in each encoding,
 * with headers.
 */
async function allOf(state: TestState): Promise<unknown> {
  const index = await state.index();
  const questions = ['latest', 'beta', 'new'].flatMap((tag) =>
    ['amd64', 'arm64'].map((architecture) => flatpakQuery(tag, architecture).canonical),
  );
  const documents = [index.whole(), index.apps(), ...questions.map((question) => index.question(question).document)];
  return Promise.all(
    documents
      .flatMap((document) => [...(document ?? [])])
      .map(
        async ([
          encoding,
          {
            headers: { 'last-modified': _modified, ...headers },
            body,
          },
        ]) => [encoding, headers, (await body.read()).toString('base64')],
      ),
  );
}

/** Opens a state whose catalog was lost after an index was built from it. */
async function loseCatalog(
  t: TestContext,
  definition: Partial<IndexDefinition> = {},
): Promise<{ state: TestState; before: string }> {
  const state = await TestState.open(t, { definitions: [definition] });
  fill(state.registry);
  await state.rebuild();
  const before = await state.text();
  await state.loseCatalog();
  return { state, before };
}

async function identityOf(file: string): Promise<readonly bigint[]> {
  const { ino, mtimeNs, size } = await stat(file, { bigint: true });
  return [ino, mtimeNs, size];
}
