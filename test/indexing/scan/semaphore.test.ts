import assert from 'node:assert/strict';
import test from 'node:test';
import { Semaphore } from '../../../src/indexing/scan/semaphore.ts';

/** Resolves after all pending microtasks and immediates. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test('several lists together run no more tasks than permits', async () => {
  const semaphore = new Semaphore(3);
  const running: (() => void)[] = [];
  let most = 0;
  const done: string[] = [];
  const run = async (value: string): Promise<void> => {
    await new Promise<void>((resolve) => {
      running.push(resolve);
      most = Math.max(most, running.length);
    });
    done.push(value);
  };
  const lists = Promise.all([
    semaphore.forEach(['a1', 'a2', 'a3', 'a4', 'a5'], run),
    semaphore.forEach(['b1', 'b2'], run),
  ]);
  while (done.length < 7) {
    await settle();
    running.shift()?.();
  }
  await lists;
  assert.equal(most, 3);
  assert.deepEqual(done.toSorted(), ['a1', 'a2', 'a3', 'a4', 'a5', 'b1', 'b2']);
});

test('after a failure no more tasks are started, and the permits are released', async () => {
  const semaphore = new Semaphore(1);
  const called: number[] = [];
  const failing = semaphore.forEach([1, 2, 3], async (value) => {
    called.push(value);
    await settle();
    throw new Error(`failed at ${value}`);
  });
  await assert.rejects(failing, /failed at 1/);
  assert.deepEqual(called, [1]);
  await semaphore.forEach([4], async (value) => {
    called.push(value);
  });
  assert.deepEqual(called, [1, 4]);
});
