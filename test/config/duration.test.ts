import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration, parseDuration } from '../../src/config/duration.ts';

const DURATIONS: readonly (readonly [string | number, number | undefined])[] = [
  ['500ms', 500],
  ['30s', 30_000],
  ['5m', 300_000],
  ['1h', 3_600_000],
  ['1d', 86_400_000],
  ['1.5h', 5_400_000],
  ['0', 0],
  [0, 0],
  [90, 90_000],
  ['90', 90_000],
  [0.25, 250],
  ['', undefined],
  ['h', undefined],
  ['1 h', undefined],
  ['1h30m', undefined],
  ['-1s', undefined],
  [-1, undefined],
  ['1w', undefined],
  ['1H', undefined],
  ['1e3', undefined],
  [Number.NaN, undefined],
  [Number.POSITIVE_INFINITY, undefined],
  ['9999999999999d', undefined],
];

for (const [written, milliseconds] of DURATIONS) {
  test(`${JSON.stringify(written)} means ${milliseconds} ms`, () => assert.equal(parseDuration(written), milliseconds));
}

test('a duration is shown in the largest unit that fits', () => {
  const shown = [0, 1, 500, 1000, 90_000, 3_600_000, 86_400_000].map(formatDuration);
  assert.deepEqual(shown, ['0ms', '1ms', '500ms', '1s', '90s', '1h', '1d']);
  assert.deepEqual(shown.map(parseDuration), [0, 1, 500, 1000, 90_000, 3_600_000, 86_400_000]);
});
