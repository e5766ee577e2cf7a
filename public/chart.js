/** A small chart of the last rebuilds of an index: duration and result of each. */
import { s } from './dom.js';
import { counted, duration } from './format.js';

/** @typedef {{ seconds: number, changed: boolean, failed: boolean, when: string }} Bar */

const WIDTH = 240;
const HEIGHT = 48;
const BARS = 24;
const GAP = 2;
const LEAST = 3;

/** Draws the chart. @param {readonly Bar[]} bars the oldest first */
export function rebuildChart(bars) {
  const shown = bars.slice(-BARS);
  const longest = Math.max(...shown.map(({ seconds }) => seconds), 0.001);
  const width = WIDTH / BARS - GAP;
  const changed = shown.filter((bar) => bar.changed).length;
  const failed = shown.filter((bar) => bar.failed).length;
  const label = `The last ${counted(shown.length, 'rebuild')}: ${changed} changed something, ${failed} failed, the longest took ${duration(longest)}`;
  return s(
    'svg',
    {
      class: 'chart',
      role: 'img',
      'aria-label': label,
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      width: WIDTH,
      height: HEIGHT,
    },
    s('line', { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    shown.map(({ seconds, changed: didChange, failed: didFail, when }, place) => {
      const height = Math.max(LEAST, ((HEIGHT - 4) * seconds) / longest);
      const x = WIDTH - (shown.length - place) * (width + GAP);
      const kind = didFail ? 'failed' : didChange ? 'changed' : 'same';
      return s(
        'rect',
        { class: kind, x, y: HEIGHT - 1 - height, width, height, rx: 1.5 },
        s(
          'title',
          {},
          `${when}: ${duration(seconds)}, ${didFail ? 'failed' : didChange ? 'changed' : 'nothing changed'}`,
        ),
      );
    }),
  );
}
