import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { suite, test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import { DeltaMaker } from '../../src/app/delta-maker.ts';
import { Figures } from '../../src/server/figures.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { MemoryRegistry } from '../sources/memory-registry.ts';
import { DELTAS } from '../indexing/define-index.ts';
import { TestState } from '../indexing/test-state.ts';

/**
 * A state with a pending delta for each of these repositories, and a maker to whose thread the registry answers 404 for
 * those that are `gone`, so that they fail for good, and otherwise 403, so that they may succeed later.
 */
async function failing(t: TestContext, repositories: readonly string[], gone: readonly string[] = []) {
  /** Repositories that the thread asked for, once for each delta. */
  const tried: string[] = [];
  const server = createServer(({ url = '' }, response) => {
    const repository = url.split('/')[2] ?? '';
    tried.push(repository);
    response.writeHead(gone.includes(repository) ? 404 : 403).end('{}');
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const registry = new MemoryRegistry({ id: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  const state = await TestState.open(t, {
    registries: [registry],
    definitions: [{ registry: registry.id, deltas: DELTAS }],
  });
  for (const version of ['1', '2']) {
    for (const name of repositories)
      registry.pushImage(name, 'latest', { labels: { ...flatpakLabels({ id: `org.example.${name}` }), version } });
    await state.rebuild();
  }
  const log = new PassThrough();
  let asked = 0;
  const maker = new DeltaMaker({
    store: {
      deltas: (except) => {
        asked++;
        return state.indexer.deltas.state(except);
      },
      beginDelta: (digest, size) => state.indexer.deltas.begin(digest, size),
      writeDelta: (bytes) => state.indexer.deltas.write(bytes),
      endDelta: (delta, outcome) => state.indexer.deltas.end(delta, outcome),
    },
    worker: { folder: state.folder, registries: [{ id: registry.id, concurrency: 1, timeout: 5000 }] },
    logger: pino({ level: 'warn' }, log),
    figures: new Figures().deltas,
    publicMessage: String,
  });
  t.after(() => maker.stop());
  return { state, maker, log, tried, asked: () => asked };
}

suite('a delta that may succeed later', () => {
  test('is not waited for once it is not wanted any more', async (t) => {
    const { state, maker, log, asked } = await failing(t, ['app']);
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.now() });
    maker.wake();
    await once(log, 'data');
    state.registry.untag('app', 'latest');
    await state.rebuildTags('app', 'latest');
    t.mock.timers.tick(10_000);
    const before = asked();
    maker.wake();
    while (asked() === before) await setImmediate();
    for (let turn = 0; turn < 100; turn++) {
      await setImmediate();
      t.mock.timers.tick(1);
    }
    assert.ok(asked() - before <= 2, `the queue was read ${asked() - before} times`);
  });

  test('does not hold up the others of its registry', async (t) => {
    const { state, maker, tried } = await failing(t, ['a', 'b', 'c'], ['b', 'c']);
    await maker.finished();
    assert.deepEqual(tried, ['a', 'b', 'c']);
    assert.partialDeepStrictEqual(await state.indexer.deltas.state(), { pending: 1, failed: 2 });
  });

  test('gives its registry a pause after three in a row, and then comes after those that were not tried', async (t) => {
    const { maker, tried } = await failing(t, ['a', 'b', 'c', 'd', 'e']);
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.now() });
    await maker.finished();
    assert.deepEqual(tried, ['a', 'b', 'c']);
    for (const [pause, next] of [
      [10_000, 'd'],
      [20_000, 'e'],
      [40_000, 'a'],
    ] as const) {
      const before = tried.length;
      t.mock.timers.tick(pause - 1);
      await maker.finished();
      assert.equal(tried.length, before, `${next} is tried before the pause is over`);
      t.mock.timers.tick(1);
      await maker.finished();
      assert.deepEqual(tried.slice(before), [next]);
    }
  });

  test('is tried again after twice the time, and does not stop its registry when it is alone', async (t) => {
    const { state, maker, tried } = await failing(t, ['a'], ['b']);
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.now() });
    await maker.finished();
    for (const pause of [10_000, 20_000, 40_000]) {
      const before = tried.length;
      t.mock.timers.tick(pause - 1);
      await maker.finished();
      assert.equal(tried.length, before);
      t.mock.timers.tick(1);
      await maker.finished();
      assert.equal(tried.length, before + 1);
    }
    for (const version of ['1', '2']) {
      state.registry.pushImage('b', 'latest', { labels: { ...flatpakLabels({ id: 'org.example.b' }), version } });
      await state.rebuild();
    }
    await maker.finished();
    assert.equal(tried.at(-1), 'b');
  });
});
