/** Contract of every engine's records of deltas. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { digestOf } from '../../src/registry/digest.ts';
import type { DeltaOutcome, ReplacedImage, WantedDelta } from '../../src/store/deltas.ts';
import { REGISTRY, type CatalogUnderTest } from './catalog-contract.ts';

const OTHER = 'https://other.example';
const NOW = Date.UTC(2026, 0, 1);

function replaced(repository: string, image: string, at: number, more: Partial<ReplacedImage> = {}): ReplacedImage {
  return { repository, tag: 'latest', os: 'linux', architecture: 'amd64', digest: digestOf(image), at, ...more };
}

function wanted(source: string, target: string, rank = 0): WantedDelta {
  return { source: digestOf(source), target: digestOf(target), rank };
}

function pair(source: string, target: string, registry = REGISTRY) {
  return { registry, source: digestOf(source), target: digestOf(target) };
}

function made(size = 10, layerSize = 100): DeltaOutcome & { readonly kind: 'made' } {
  const [digest, from, to] = [digestOf(`delta of ${size}`), digestOf('from'), digestOf('to')];
  return { kind: 'made', digest, size, layerSize, from, to, version: '1.0' };
}

export function deltasContract(create: (t: TestContext) => CatalogUnderTest): void {
  test('replaced images come back, the last first, also when they are opened again', async (t) => {
    const under = create(t);
    const catalog = await under.open();
    const images = [
      replaced('app', 'first', NOW),
      replaced('app', 'second', NOW + 2, { architecture: 'arm64' }),
      replaced('app', 'third', NOW + 1, { tag: 'beta', os: 'other' }),
      replaced('other', 'first', NOW),
    ];
    await catalog.commit(REGISTRY, [{ kind: 'replaced', images: images.slice(0, 2) }], () => []);
    await catalog.commit(REGISTRY, [{ kind: 'replaced', images: images.slice(2) }], () => []);
    await catalog.commit(OTHER, [{ kind: 'replaced', images: [replaced('app', 'elsewhere', NOW)] }], () => []);
    const { deltas } = await under.open();
    assert.deepEqual(
      await deltas.replaced(REGISTRY, ['none', 'other', 'app']),
      new Map([
        ['app', [images[1], images[2], images[0]]],
        ['other', [images[3]]],
      ]),
    );
    // It was shown again, and replaced again.
    await (
      await under.open()
    ).commit(
      REGISTRY,
      [{ kind: 'replaced', images: [replaced('app', 'first', NOW + 9), replaced('app', 'first', NOW + 10)] }],
      () => [],
    );
    assert.equal((await (await under.open()).deltas.replaced(REGISTRY, ['app'])).get('app')?.[0]?.at, NOW + 10);
  });

  test('images are forgotten that were replaced too long ago, and indexes that want deltas from them are dirty', async (t) => {
    const catalog = await create(t).open();
    const { deltas } = catalog;
    const images = [replaced('app', 'old', NOW), replaced('app', 'new', NOW + 1), replaced('other', 'old', NOW)];
    await catalog.commit(REGISTRY, [{ kind: 'replaced', images }], () => []);
    await deltas.want('apps', REGISTRY, new Map([['app', [wanted('old', 'target'), wanted('new', 'target')]]]), 'keep');
    await deltas.forgetReplaced(REGISTRY, NOW);
    await deltas.forgetReplaced(OTHER, NOW + 10);
    assert.deepEqual((await catalog.dirty('apps')).repositories, []);
    await deltas.forgetReplaced(REGISTRY, NOW + 1);
    assert.deepEqual((await catalog.dirty('apps')).repositories, ['app']);
    assert.deepEqual(await deltas.replaced(REGISTRY, ['app', 'other']), new Map([['app', [images[1]]]]));
    await catalog.keepRegistries(new Set([OTHER]));
    assert.deepEqual(await deltas.replaced(OTHER, ['app']), new Map());
  });

  test('those that are wanted are made one after another, first from what was replaced last', async (t) => {
    const { deltas } = await create(t).open();
    assert.equal(await deltas.next('manner'), undefined);
    await deltas.want('apps', REGISTRY, new Map([['b', [wanted('b2', 'b3', 0), wanted('b1', 'b3', 1)]]]), 'keep');
    await deltas.want('more', OTHER, new Map([['a', [wanted('a1', 'a2', 0)]]]), 'keep');
    await deltas.want('same', REGISTRY, new Map([['c', [wanted('b2', 'b3', 3)]]]), 'keep');
    const order = [
      { ...pair('a1', 'a2', OTHER), repository: 'a' },
      { ...pair('b2', 'b3'), repository: 'b' },
      { ...pair('b1', 'b3'), repository: 'b' },
    ];
    const outcomes: readonly DeltaOutcome[] = [
      made(),
      { kind: 'failed', reason: 'it is damaged' },
      { kind: 'unsuitable', reason: 'it has two layers' },
    ];
    for (const [place, expected] of order.entries()) {
      assert.deepEqual(await deltas.next('manner'), expected);
      const pairs = [pair('b2', 'b3', OTHER), pair('b2', 'b3')];
      assert.deepEqual(await deltas.next('manner', { registries: [OTHER], pairs: [] }), order[Math.max(place, 1)]);
      assert.deepEqual(await deltas.next('manner', { registries: [], pairs }), order[place === 1 ? 2 : place]);
      await deltas.record(expected, outcomes[place] as DeltaOutcome, 'manner');
    }
    assert.equal(await deltas.next('manner'), undefined);
    assert.deepEqual(await deltas.count('manner'), {
      pending: 0,
      made: 1,
      unsuitable: 1,
      failed: 1,
      bytes: 10,
      saved: 90,
    });
    // In another manner, what failed is tried again.
    assert.deepEqual(await deltas.next('another'), order[1]);
    assert.deepEqual(await deltas.count('another'), {
      pending: 2,
      made: 1,
      unsuitable: 0,
      failed: 0,
      bytes: 10,
      saved: 90,
    });
  });

  test('what an index wants is replaced by repository, or in whole', async (t) => {
    const catalog = await create(t).open();
    const { deltas } = catalog;
    const want = (others: 'keep' | 'remove', ...its: readonly (readonly [string, readonly WantedDelta[]])[]) =>
      deltas.want('apps', REGISTRY, new Map(its), others);
    const pending = async (): Promise<number> => (await deltas.count('')).pending;
    await want('keep', ['a', [wanted('a1', 'a2')]], ['b', [wanted('b1', 'b2'), wanted('b0', 'b2', 1)]]);
    await deltas.want('other', REGISTRY, new Map([['c', [wanted('c1', 'c2')]]]), 'keep');
    assert.equal(await pending(), 4);
    await want('keep', ['b', [wanted('b2', 'b3')]]);
    assert.equal(await pending(), 3);
    await want('keep', ['b', []]);
    assert.equal(await pending(), 2);
    await want('remove', ['d', [wanted('d1', 'd2')]]);
    assert.equal(await pending(), 2);
    await want('remove');
    assert.equal(await pending(), 1);
    assert.deepEqual((await catalog.dirty('apps')).repositories, []);
  });

  test('a delta that was made marks its repositories as dirty, and so does one that is lost', async (t) => {
    const catalog = await create(t).open();
    const { deltas } = catalog;
    const delta = wanted('old', 'new');
    await deltas.want(
      'apps',
      REGISTRY,
      new Map([
        ['b', [delta]],
        ['a', [delta]],
        ['c', [wanted('x', 'y')]],
      ]),
      'keep',
    );
    await deltas.want('more', REGISTRY, new Map([['a', [delta]]]), 'keep');
    const dirty = async (): Promise<readonly (readonly string[])[]> => {
      const both = [await catalog.dirty('apps'), await catalog.dirty('more')];
      await Promise.all(['apps', 'more'].map((index, place) => catalog.clearDirty(index, both[place]?.upTo ?? 0)));
      return both.map(({ repositories }) => repositories);
    };
    await deltas.record(pair('old', 'new'), { kind: 'failed', reason: 'the registry lost it' }, 'one');
    assert.deepEqual(await dirty(), [[], []]);
    await deltas.record(pair('old', 'new'), made(), 'two');
    assert.deepEqual(await dirty(), [['a', 'b'], ['a']]);
    const { kind: _kind, ...its } = made();
    const [all, none] = [[{ source: delta.source, target: delta.target, ...its }], []];
    assert.deepEqual(await deltas.made(REGISTRY, [digestOf('new'), digestOf('y')]), all);
    assert.deepEqual(await deltas.made(OTHER, [digestOf('new')]), none);
    await deltas.lose(digestOf('another'));
    assert.deepEqual(await dirty(), [[], []]);
    await deltas.lose(made().digest);
    assert.deepEqual(await dirty(), [['a', 'b'], ['a']]);
    assert.deepEqual(await deltas.made(REGISTRY, [digestOf('new')]), none);
    assert.equal((await deltas.count('two')).pending, 2);
  });

  test('cleaning leaves what an index wants that there still is', async (t) => {
    const { deltas } = await create(t).open();
    await deltas.want('apps', REGISTRY, new Map([['a', [wanted('a1', 'a2'), wanted('a0', 'a2', 1)]]]), 'keep');
    await deltas.want('gone', REGISTRY, new Map([['b', [wanted('b1', 'b2')]]]), 'keep');
    await deltas.record(pair('a1', 'a2'), made(1), '');
    await deltas.record(pair('b1', 'b2'), made(2), '');
    await deltas.record(pair('c1', 'c2'), made(3), '');
    assert.deepEqual(await deltas.clean(new Set(['apps'])), new Set([made(1).digest]));
    assert.deepEqual(
      await deltas.made(
        REGISTRY,
        ['b2', 'c2'].map((image) => digestOf(image)),
      ),
      [],
    );
    assert.deepEqual(await deltas.count(''), { pending: 1, made: 1, unsuitable: 0, failed: 0, bytes: 1, saved: 99 });
  });
}
