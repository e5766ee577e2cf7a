import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { suite, test, type TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { DeltaDefinition, IndexDefinition } from '../../src/indexing/index-definition.ts';
import { namedDeltas } from '../../src/indexing/deltas/delta-manifest.ts';
import { digestOf, type Digest } from '../../src/registry/digest.ts';
import { readBlob } from '../../src/store/blobs.ts';
import type { PendingDelta } from '../../src/store/deltas.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { DELTAS } from './define-index.ts';
import { TestState, type ImageJson, type TestStateOptions } from './test-state.ts';

const DELTA_URL = 'io.github.containers.DeltaUrl';

function open(t: TestContext, deltas: Partial<DeltaDefinition> = {}, more: TestStateOptions = {}): Promise<TestState> {
  return TestState.open(t, { definitions: [{ deltas: { ...DELTAS, ...deltas } }], ...more });
}

/** Pushes one version of the app. */
function push(
  state: TestState,
  version: string,
  more: { tag?: string; architecture?: string; own?: string } = {},
): Digest {
  const { tag = 'latest', architecture, own } = more;
  return state.registry.pushImage('app', tag, {
    ...(architecture !== undefined && { architecture }),
    labels: {
      ...flatpakLabels({ id: 'org.example.App' }),
      version,
      ...(own !== undefined && { [DELTA_URL]: own }),
    },
  });
}

/** The versions of the pairs that are pending, in the order in which they are made; each fails. */
async function pending(state: TestState, versions: Readonly<Record<Digest, string>>): Promise<readonly string[]> {
  const found: string[] = [];
  for (;;) {
    const { next } = await state.indexer.deltas.state();
    if (next === undefined) return found;
    found.push(`${versions[next.source]} → ${versions[next.target]}`);
    await state.indexer.deltas.end(next, { kind: 'failed', reason: 'tried' });
  }
}

/** Makes up the delta that is pending, and publishes it. */
async function make(state: TestState, content: Buffer, layerSize = 1000): Promise<PendingDelta> {
  const { next } = await state.indexer.deltas.state();
  assert.ok(next);
  const digest = digestOf(content);
  assert.ok(await state.indexer.deltas.begin(digest, content.length));
  await state.indexer.deltas.write(content);
  const [from, to] = [digestOf(`from ${next.source}`), digestOf(`to ${next.target}`)];
  await state.indexer.deltas.end(next, {
    kind: 'made',
    digest,
    size: content.length,
    layerSize,
    from,
    to,
    version: '1',
  });
  await state.refresh();
  return next;
}

async function images(state: TestState, index = 'apps'): Promise<readonly ImageJson[]> {
  return (await state.json(index)).Results.flatMap(({ Images, Lists }) => [
    ...Images,
    ...Lists.flatMap((list) => list.Images),
  ]);
}

/** The label that leads to the deltas of the one image that is shown. */
async function label(state: TestState, index?: string): Promise<string | undefined> {
  return (await images(state, index))[0]?.Labels[DELTA_URL];
}

/** What the store has at a URL below that of the deltas. */
async function stored(state: TestState, url: string): Promise<Buffer | undefined> {
  const [, first = '', rest = '', extension] = /\/deltas\/(..)\/(.{62})\.(json|tardiff)$/.exec(url) ?? [];
  const kind = extension === 'json' ? 'delta-manifest' : 'delta';
  const blob = { kind, digest: `sha256:${first}${rest}` as Digest } as const;
  const size = await state.store.blobs.size(blob);
  if (size === undefined) return undefined;
  return Buffer.concat(await Array.fromAsync(readBlob(state.store.blobs, blob, 0, size - 1)));
}

/** A state in which one image was replaced. */
async function replacedOnce(t: TestContext, deltas?: Partial<DeltaDefinition>, more?: TestStateOptions) {
  const state = await open(t, deltas, more);
  push(state, '1');
  await state.rebuild();
  const target = push(state, '2');
  await state.rebuild();
  return { state, target };
}

suite('deltas that are wanted', () => {
  test('lead from each image that was replaced to the newest, the last replaced first', async (t) => {
    const state = await open(t, { max: 2 });
    const versions: Record<Digest, string> = {};
    for (const version of ['1', '2', '3', '4']) {
      versions[push(state, version)] = version;
      await (version === '3' ? state.rebuildTags('app', 'latest') : state.rebuild());
    }
    assert.deepEqual(await pending(state, versions), ['3 → 4', '2 → 4']);
    await state.reopen();
    // What failed is not tried again, but for those that are new.
    versions[push(state, '5')] = '5';
    await state.rebuild();
    assert.deepEqual(await pending(state, versions), ['4 → 5', '3 → 5']);
  });

  test('lead between images of one architecture, also where image indexes have them', async (t) => {
    const state = await open(t);
    const versions: Record<Digest, string> = {};
    const pushed = (version: string, architecture: string): Digest => {
      const digest = push(state, version, { tag: 'none', architecture });
      versions[digest] = `${version} ${architecture}`;
      return digest;
    };
    const arm = pushed('1', 'arm64');
    state.registry.pushIndex('app', 'latest', [pushed('1', 'amd64'), arm]);
    await state.rebuild();
    state.registry.pushIndex('app', 'latest', [pushed('2', 'amd64'), arm]);
    await state.rebuild();
    assert.deepEqual(await pending(state, versions), ['1 amd64 → 2 amd64']);
    state.registry.pushIndex('app', 'latest', [pushed('3', 'arm64')]);
    await state.rebuild();
    assert.deepEqual(await pending(state, versions), ['1 arm64 → 3 arm64']);
  });

  test('do not lead to what is not shown any more, or comes with its own', async (t) => {
    const state = await open(t);
    push(state, '1');
    await state.rebuild();
    push(state, '2');
    await state.rebuild();
    assert.equal((await state.indexer.deltas.state()).pending, 1);
    push(state, '3', { own: 'https://elsewhere.example.org/delta.json' });
    await state.rebuild();
    assert.equal((await state.indexer.deltas.state()).pending, 0);
    assert.equal(await label(state), 'https://elsewhere.example.org/delta.json');
    push(state, '4');
    await state.rebuild();
    assert.equal((await state.indexer.deltas.state()).pending, 3);
    state.registry.untag('app', 'latest');
    await state.rebuildTags('app', 'latest');
    assert.equal((await state.indexer.deltas.state()).pending, 0);
  });

  test('are forgotten with their time, and where an index has none any more', async (t) => {
    const state = await open(t, { keep: 1 });
    push(state, '1');
    await state.rebuild();
    push(state, '2');
    await state.rebuild();
    await setTimeout(5);
    await state.rebuild();
    assert.equal((await state.indexer.deltas.state()).pending, 0);

    await state.reopen({ definitions: [{ deltas: DELTAS }] });
    push(state, '3');
    await state.rebuild();
    assert.equal((await state.indexer.deltas.state()).pending, 1);
    await state.reopen({ definitions: [{}] });
    assert.equal((await state.indexer.deltas.state()).next, undefined);
    await state.rebuild();
    assert.equal((await state.indexer.deltas.state()).pending, 0);
    assert.deepEqual(await state.store.catalog.deltas.replaced(state.registry.id, ['app']), new Map());
  });
});

suite('a delta that was made', () => {
  test('is named by a manifest to which the label of the image leads', async (t) => {
    const { state, target } = await replacedOnce(t);
    assert.equal(await label(state), undefined);
    const delta = Buffer.from('a delta');
    const { source } = await make(state, delta);
    const url = (await label(state)) ?? '';
    assert.match(url, /^https:\/\/apps\.example\.org\/deltas\/[0-9a-f]{2}\/[0-9a-f]{62}\.json$/);
    const manifest = (await stored(state, url)) ?? assert.fail();
    assert.equal(url, `${DELTAS.url}${digestOf(manifest).slice(7, 9)}/${digestOf(manifest).slice(9)}.json`);
    const { layers, ...rest } = JSON.parse(manifest.toString()) as { layers: [{ urls: [string] }] };
    assert.deepEqual(rest, {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf('{}'), size: 2 },
      annotations: { 'io.github.containers.delta.target': target },
    });
    const [{ urls }] = layers;
    assert.deepEqual(layers, [
      {
        mediaType: 'application/vnd.tar-diff',
        digest: digestOf(delta),
        size: delta.length,
        urls,
        annotations: {
          'io.github.containers.delta.from': digestOf(`from ${source}`),
          'io.github.containers.delta.to': digestOf(`to ${target}`),
          'regindexer.from.version': '1',
          'regindexer.layer.size': '1000',
        },
      },
    ]);
    assert.deepEqual(await stored(state, urls[0]), delta);
    assert.deepEqual(namedDeltas(manifest), [
      { digest: digestOf(delta), size: delta.length, layerSize: 1000, version: '1' },
    ]);
  });

  test('has no URL where clients pull from this server', async (t) => {
    const { state } = await replacedOnce(t, { url: undefined });
    await make(state, Buffer.from('a delta'));
    const url = (await label(state)) ?? '';
    assert.match(url, /^\/deltas\/[0-9a-f]{2}\/[0-9a-f]{62}\.json$/);
    assert.doesNotMatch((await stored(state, url))?.toString() ?? '', /urls/);
  });

  test('gives the same bytes after a restart, and when everything is rendered again', async (t) => {
    const { state } = await replacedOnce(t);
    await make(state, Buffer.from('a delta'));
    const before = await state.text();
    await state.reopen();
    await state.rebuild();
    assert.equal(await state.text(), before);
    await state.close();
    for (const suffix of ['', '-wal', '-shm'])
      await rm(state.path('store', `publications.sqlite${suffix}`), { force: true });
    await state.reopen();
    await state.rebuild();
    assert.equal(await state.text(), before);
  });

  test('is shown by those indexes whose bounds it is within', async (t) => {
    const bounds: readonly (readonly [string, Partial<DeltaDefinition>])[] = [
      ['ratio', { maxRatio: 0.1 }],
      ['small', { minSize: 1001 }],
      ['large', { maxLayer: 999 }],
      ['none', { max: 0 }],
      ['apps', { maxRatio: 0.2 }],
    ];
    const { state } = await replacedOnce(
      t,
      {},
      {
        definitions: bounds.map(([name, its]): Partial<IndexDefinition> => ({ name, deltas: { ...DELTAS, ...its } })),
      },
    );
    await make(state, Buffer.alloc(200));
    for (const [name] of bounds) assert.equal((await label(state, name)) !== undefined, name === 'apps', name);
  });

  test('is withdrawn in order: label and manifest, then after some time the delta', async (t) => {
    const { state } = await replacedOnce(t, { max: 1 }, { keepDeltasFor: 1 });
    await make(state, Buffer.from('a delta'));
    const url = (await label(state)) ?? '';
    const delta = JSON.parse((await stored(state, url))?.toString() ?? '') as { layers: [{ urls: [string] }] };
    const [deltaUrl] = delta.layers[0].urls;
    push(state, '3');
    await state.rebuildTags('app', 'latest');
    assert.equal(await label(state), undefined);
    assert.ok(await stored(state, url));
    await state.rebuild();
    assert.equal(await stored(state, url), undefined);
    assert.ok(await stored(state, deltaUrl));
    await setTimeout(5);
    await state.rebuild();
    assert.equal(await stored(state, deltaUrl), undefined);
  });

  test('costs no push of another app a transaction', async (t) => {
    const { state } = await replacedOnce(t);
    await make(state, Buffer.from('a delta'));
    const { blobs } = state.store;
    const complete = blobs.complete.bind(blobs);
    let completed = 0;
    blobs.complete = (...blob) => {
      completed++;
      return complete(...blob);
    };
    state.registry.pushImage('other', 'latest', { labels: flatpakLabels({ id: 'org.example.Other' }) });
    await state.rebuildTags('other', 'latest');
    assert.equal((await images(state)).length, 2);
    assert.equal(completed, 0);
  });

  test('that is lost is not shown, and made again', async (t) => {
    const { state } = await replacedOnce(t);
    await make(state, Buffer.from('a delta'));
    await state.indexer.deltas.lose(digestOf('a delta'));
    await state.refresh();
    assert.equal(await label(state), undefined);
    await make(state, Buffer.from('a delta'));
    assert.notEqual(await label(state), undefined);
  });

  test('whose blob is gone after a restart is not shown, and made again', async (t) => {
    const { state } = await replacedOnce(t);
    await make(state, Buffer.from('a delta'));
    await state.close();
    for (const suffix of ['', '-wal', '-shm']) await rm(state.path('store', `blobs.sqlite${suffix}`), { force: true });
    await state.reopen();
    await state.refresh();
    assert.equal(await label(state), undefined);
    await make(state, Buffer.from('a delta'));
    assert.notEqual(await stored(state, (await label(state)) ?? ''), undefined);
  });

  test('is looked up together with all others at the start', async (t) => {
    const { state } = await replacedOnce(t);
    await make(state, Buffer.from('a delta'));
    state.store.blobs.size = () => assert.fail('one by one');
    assert.deepEqual(await state.indexer.deltas.clean(new Set(['apps'])), new Set([digestOf('a delta')]));
  });

  test('that has no room is not kept; it waits until there is room', async (t) => {
    const { state } = await replacedOnce(t, { maxStore: 10 });
    const { next } = await state.indexer.deltas.state();
    assert.equal(await state.indexer.deltas.begin(digestOf('any'), 11), false);
    const { full, next: none, pending: waiting } = await state.indexer.deltas.state();
    assert.deepEqual([full, none, waiting], [true, undefined, 1]);
    await state.reopen({ definitions: [{ deltas: DELTAS }] });
    assert.equal((await state.indexer.deltas.state()).next?.target, next?.target);
  });

  test('is cleaned in its time also after another one could not be written to its end', async (t) => {
    const { state } = await replacedOnce(t, { max: 1 }, { keepDeltasFor: 0 });
    await make(state, Buffer.from('a delta'));
    push(state, '3');
    await state.rebuild();
    await state.indexer.deltas.begin(digestOf('another'), 7);
    const blob = { kind: 'delta', digest: digestOf('a delta') } as const;
    for (let round = 0; round < 2; round++) {
      await setTimeout(5);
      await state.rebuild();
    }
    assert.notEqual(await state.store.blobs.size(blob), undefined, 'removed while one is written');
    assert.notEqual((await state.indexer.deltas.state()).next, undefined);
    for (let round = 0; round < 2; round++) {
      await setTimeout(5);
      await state.rebuild();
    }
    assert.equal(await state.store.blobs.size(blob), undefined);
  });

  test('stays whole while the same delta is written for other images', async (t) => {
    const { state } = await replacedOnce(t, { max: 1, maxStore: 10 });
    const delta = Buffer.from('a delta');
    await make(state, delta);
    state.registry.pushImage('other', 'latest', { labels: flatpakLabels({ id: 'org.example.Other' }) });
    await state.rebuild();
    state.registry.pushImage('other', 'latest', {
      labels: { ...flatpakLabels({ id: 'org.example.Other' }), version: '2' },
    });
    await state.rebuild();
    assert.equal((await state.indexer.deltas.state()).next?.repository, 'other');
    assert.ok(await state.indexer.deltas.begin(digestOf(delta), delta.length));
    assert.equal(await state.store.blobs.size({ kind: 'delta', digest: digestOf(delta) }), delta.length);
  });

  test('that was not written as it should be is not shown', async (t) => {
    const { state } = await replacedOnce(t);
    const { next } = await state.indexer.deltas.state();
    await state.indexer.deltas.begin(digestOf('a delta'), 7);
    await state.indexer.deltas.write(Buffer.from('another'));
    const [from, to] = [digestOf('from'), digestOf('to')];
    await assert.rejects(
      state.indexer.deltas.end(next ?? assert.fail(), {
        kind: 'made',
        digest: digestOf('a delta'),
        size: 7,
        layerSize: 1000,
        from,
        to,
        version: '',
      }),
      /has the digest/,
    );
    await state.refresh();
    assert.equal(await label(state), undefined);
  });
});
