import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flatpakLabels } from '../../sources/flatpak-labels.ts';
import { pngPicture } from '../../sources/pictures.ts';
import { TestState } from '../test-state.ts';

const HOUR = 3_600_000;

test('a screenshot that cannot be had is asked for again an hour later, and one that is kept is not', async (t) => {
  const asked: string[] = [];
  let isDown = true;
  const state = await TestState.open(t, {
    fetchFile: async (_registry, url) => {
      asked.push(url);
      if (isDown && url.endsWith('/down.png')) throw new Error('the host is down');
      return pngPicture(800, 600, url);
    },
  });
  const named = ['up', 'down'].map((name) => `<screenshot><image>https://example.org/${name}.png</image></screenshot>`);
  state.registry.pushImage('app', 'latest', {
    labels: flatpakLabels({ id: 'org.example.App', appdata: `<screenshots>${named.join('')}</screenshots>` }),
  });
  const rebuild = async (): Promise<readonly string[]> => {
    await state.rebuild();
    await state.indexer.picturesSettled();
    return asked.splice(0).toSorted();
  };
  assert.deepEqual(await rebuild(), ['https://example.org/down.png', 'https://example.org/up.png']);
  assert.deepEqual(state.warnings, [
    '1 screenshot of the index apps could not be fetched, and will be asked for again in an hour: https://example.org/down.png: the host is down',
  ]);
  isDown = false;
  assert.deepEqual(await rebuild(), []);
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + HOUR });
  assert.deepEqual(await rebuild(), ['https://example.org/down.png']);
  assert.deepEqual(await rebuild(), []);
});
