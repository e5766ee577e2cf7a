/** One image for each Flatpak ref and architecture, where `repository_priority` is set. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Digest } from '../../../src/registry/digest.ts';
import type { MemoryRegistry, PushedImage } from '../../sources/memory-registry.ts';
import { named, TestState } from '../test-state.ts';

const REF = 'org.flatpak.ref';
const METADATA = 'org.flatpak.metadata';

function push(
  registry: MemoryRegistry,
  repository: string,
  tag: string | undefined,
  ref: string,
  more: PushedImage = {},
): Digest {
  return registry.pushImage(repository, tag, {
    ...more,
    ...named(`${repository} ${tag ?? more.architecture ?? ''}`, { [REF]: ref, [METADATA]: '', ...more.labels }),
  });
}

suite('between repositories', () => {
  test('the first pattern wins, then the order of names; what no pattern matches comes last', async (t) => {
    const state = await TestState.open(t, {
      definitions: [{ repositoryPriority: ['stable/*', 'beta/one', 'beta/*'] }],
    });
    const { registry } = state;
    const refs: Readonly<Record<string, readonly string[]>> = {
      A: ['a-first', 'beta/one', 'stable/z', 'stable/y'],
      B: ['beta/one', 'beta/a', 'a-first'],
      C: ['z-last', 'a-first'],
      D: ['only'],
    };
    for (const [ref, repositories] of Object.entries(refs))
      for (const repository of repositories) push(registry, repository, ref.toLowerCase(), ref);
    await state.rebuild();
    assert.deepEqual(await state.shows(), [
      'a-first:c a-first c',
      'beta/one:b beta/one b',
      'only:d only d',
      'stable/y:a stable/y a',
    ]);
  });

  test('architectures are decided independently', async (t) => {
    const state = await TestState.open(t, { definitions: [{ repositoryPriority: ['stable', 'beta'] }] });
    const { registry } = state;
    push(registry, 'stable', 'latest', 'A');
    registry.pushIndex(
      'beta',
      'latest',
      ['amd64', 'arm64'].map((architecture) => push(registry, 'beta', undefined, 'A', { architecture })),
    );
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['beta:latest [beta arm64]', 'stable:latest stable latest']);
  });

  test('an image that the index does not show does not hide another one', async (t) => {
    const state = await TestState.open(t, {
      definitions: [
        { repositoryPriority: ['stable', 'beta'], requiredLabels: ['approved'], requiredAnnotations: ['signed'] },
      ],
    });
    const { registry } = state;
    push(registry, 'stable', 'latest', 'A', { labels: { approved: '' } });
    push(registry, 'stable', 'other', 'A', { annotations: { signed: '' } });
    push(registry, 'beta', 'latest', 'A', { labels: { approved: '' }, annotations: { signed: '' } });
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['beta:latest beta latest']);
  });

  test('a ref in an annotation counts if there is none in the labels', async (t) => {
    const state = await TestState.open(t, { definitions: [{ repositoryPriority: ['stable', 'beta'] }] });
    state.registry.pushImage('stable', 'latest', {
      ...named('annotated'),
      annotations: { [REF]: 'A', [METADATA]: '' },
    });
    push(state.registry, 'beta', 'latest', 'A');
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['stable:latest annotated']);
  });

  test('images without a ref are all shown', async (t) => {
    const state = await TestState.open(t, { definitions: [{ repositoryPriority: ['stable', 'beta'] }] });
    for (const repository of ['stable', 'beta']) state.registry.pushImage(repository, 'latest', named('container'));
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['beta:latest container', 'stable:latest container']);
  });

  test('without a priority all are shown', async (t) => {
    const state = await TestState.open(t);
    for (const repository of ['stable', 'beta'])
      for (const tag of ['1', '2']) push(state.registry, repository, tag, 'A');
    await state.rebuild();
    assert.equal((await state.shows()).length, 4);
  });
});

suite('within a repository', () => {
  const cases: readonly (readonly [tags: readonly string[], winner: string])[] = [
    [['1.9', '1.10', '1.2'], '1.10'],
    [['9', '10', 'v11'], 'v11'],
    [['2024-01-31', '2024-12-01', '2023-12-31'], '2024-12-01'],
    [['stable', 'latest', 'zzz', '99'], 'latest'],
    [['1.0', '1.00'], '1.00'],
    [['a', 'B'], 'B'],
  ];
  for (const [tags, winner] of cases) {
    test(`of ${tags.join(', ')} it is ${winner}`, async (t) => {
      const state = await TestState.open(t, { definitions: [{ repositoryPriority: ['app'] }] });
      for (const tag of tags) push(state.registry, 'app', tag, 'A');
      await state.rebuild();
      assert.deepEqual(await state.shows(), [`app:${winner} app ${winner}`]);
    });
  }

  test('an image is ranked by its highest tag, and shown with all its tags', async (t) => {
    const state = await TestState.open(t, { definitions: [{ repositoryPriority: ['app'] }] });
    const { registry } = state;
    const one = push(registry, 'app', '1', 'A');
    registry.tag('app', '10', one);
    push(registry, 'app', '9', 'A');
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['app:1,10 app 1']);
  });

  test('lists and images are ranked alike by their tags, and a list keeps its other images', async (t) => {
    const state = await TestState.open(t, { definitions: [{ repositoryPriority: ['app'] }] });
    const { registry } = state;
    const [amd64, arm64] = ['amd64', 'arm64'].map((architecture) =>
      push(registry, 'app', undefined, 'A', { architecture }),
    );
    assert.ok(amd64 && arm64);
    registry.pushIndex('app', '2', [amd64, arm64]);
    registry.pushIndex('app', '1', [arm64, amd64]);
    push(registry, 'app', '3', 'A');
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['app:3 app 3', 'app:2 [app arm64]']);
  });

  test('one digest in two lists is shown in one of them', async (t) => {
    const state = await TestState.open(t, { definitions: [{ repositoryPriority: ['app'] }] });
    const { registry } = state;
    const image = push(registry, 'app', 'zzz', 'A');
    registry.pushIndex('app', 'latest', [image]);
    registry.pushIndex('app', '1', [image, push(registry, 'app', undefined, 'B')]);
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['app:1 [app ]', 'app:latest [app zzz]']);
  });

  test('of two images of one list that are the same app, the first is shown', async (t) => {
    const state = await TestState.open(t, { definitions: [{ repositoryPriority: ['app'] }] });
    const { registry } = state;
    registry.pushIndex(
      'app',
      'latest',
      ['second', 'first'].map((name) =>
        registry.pushImage('app', undefined, named(name, { [REF]: 'A', [METADATA]: '' })),
      ),
    );
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['app:latest [second]']);
  });
});
