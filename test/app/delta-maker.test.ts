import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { suite, test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import { DeltaMaker } from '../../src/app/delta-maker.ts';
import { Figures } from '../../src/server/figures.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { TestState } from '../indexing/test-state.ts';

const DELTAS = {
  url: 'https://apps.example.org/deltas/',
  keep: 86_400_000,
  max: 5,
  maxRatio: 0.7,
  minSize: 100,
  maxLayer: 1_000_000,
  maxStore: 1_000_000,
  mediaType: 'application/vnd.tar-diff',
};

/** A state with one pending delta, and a maker whose thread knows no registry, so that it may succeed only later. */
async function failing(t: TestContext) {
  const state = await TestState.open(t, { definitions: [{ deltas: DELTAS }] });
  const push = (version: string): Promise<unknown> => {
    state.registry.pushImage('app', 'latest', { labels: { ...flatpakLabels({ id: 'org.example.App' }), version } });
    return state.rebuild();
  };
  await push('1');
  await push('2');
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
    worker: { folder: state.folder, registries: [] },
    logger: pino({ level: 'warn' }, log),
    figures: new Figures().deltas,
    publicMessage: String,
  });
  t.after(() => maker.stop());
  return { state, maker, log, asked: () => asked };
}

suite('a delta that may succeed later', () => {
  test('is not waited for once it is not wanted any more', async (t) => {
    const { state, maker, log, asked } = await failing(t);
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
});
