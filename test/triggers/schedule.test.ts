import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import type { RebuildResult } from '../../src/indexing/rebuild.ts';
import { RebuildQueue } from '../../src/triggers/rebuild-queue.ts';
import { Schedule } from '../../src/triggers/schedule.ts';

const HOUR = 3_600_000;

/** A schedule for a queue whose rebuilds the test ends. */
function startSchedule(t: TestContext, interval: number) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const ends: (() => void)[] = [];
  const registries = new Map([['one', ['a']]]);
  const run = (registry: string): Promise<RebuildResult> =>
    new Promise((resolve) => {
      ends.push(() =>
        resolve({ registry, seconds: 0, repositories: 0, requests: 0, newImages: 0, failures: [], indexes: [] }),
      );
    });
  const queue = new RebuildQueue({ registries, run, logger: pino({ level: 'silent' }) });
  const schedule = new Schedule({ queue, registries: registries.keys(), interval });
  schedule.start();
  t.after(() => schedule.stop());
  const endRunning = async (): Promise<void> => {
    const running = queue.recent().find(({ state }) => state === 'running');
    ends.shift()?.();
    if (running !== undefined) await queue.finished(running.id);
  };
  return { queue, schedule, endRunning };
}

/** Lets queued rebuilds start. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a full rebuild is requested an interval after the end of the last one', async (t) => {
  const { queue, endRunning } = startSchedule(t, HOUR);
  t.mock.timers.tick(0.9 * HOUR - 1);
  assert.deepEqual(queue.recent(), []);
  t.mock.timers.tick(0.2 * HOUR + 2);
  await turn();
  const [first] = queue.recent();
  assert.deepEqual([first?.state, first?.reasons, first?.scope.indexes], ['running', ['schedule'], 'all']);

  t.mock.timers.tick(10 * HOUR);
  assert.equal(queue.recent().length, 1, 'none while it runs');
  await endRunning();
  t.mock.timers.tick(0.9 * HOUR - 1);
  assert.equal(queue.recent().length, 1);
  t.mock.timers.tick(0.2 * HOUR + 2);
  assert.equal(queue.recent().length, 2);
});

test('a full rebuild of another trigger counts, a smaller one does not', async (t) => {
  const { queue, endRunning } = startSchedule(t, HOUR);
  t.mock.timers.tick(0.8 * HOUR);
  queue.request({ reason: 'test', scope: { kind: 'everything' } });
  await turn();
  await endRunning();
  t.mock.timers.tick(0.8 * HOUR);
  queue.request({ reason: 'test', scope: { kind: 'index', index: 'a' } });
  await turn();
  await endRunning();
  assert.equal(queue.recent().length, 2);
  t.mock.timers.tick(0.3 * HOUR + 1);
  assert.deepEqual(queue.recent()[0]?.reasons, ['schedule']);
});

test('an interval of 0 means never, and so does stop', async (t) => {
  const never = startSchedule(t, 0);
  t.mock.timers.tick(1_000 * HOUR);
  assert.deepEqual(never.queue.recent(), []);
  t.mock.timers.reset();

  const stopped = startSchedule(t, HOUR);
  stopped.queue.request({ reason: 'test', scope: { kind: 'everything' } });
  await turn();
  stopped.schedule.stop();
  await stopped.endRunning();
  t.mock.timers.tick(1_000 * HOUR);
  assert.equal(stopped.queue.recent().length, 1);
});

test('an interval longer than a timer can wait does not fire at once', async (t) => {
  const { queue } = startSchedule(t, 100 * 24 * HOUR);
  t.mock.timers.tick(20 * 24 * HOUR);
  assert.deepEqual(queue.recent(), []);
  t.mock.timers.tick(5 * 24 * HOUR);
  assert.equal(queue.recent().length, 1);
});
