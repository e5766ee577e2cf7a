import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Calls, ThreadEnded } from '../../src/app/calls.ts';
import type { AnsweringMethods } from './programs/answering-thread.ts';

/** Starts a thread for the test, and records its events and exits. */
function start(t: TestContext): { calls: Calls<AnsweringMethods, number>; events: number[]; exited: Promise<Error> } {
  const worker = new Worker(new URL('./programs/answering-thread.ts', import.meta.url));
  const events: number[] = [];
  const { promise: exited, resolve } = Promise.withResolvers<Error>();
  const calls = new Calls<AnsweringMethods, number>(worker, {
    onEvent: (event) => events.push(event),
    onExit: resolve,
  });
  t.after(() => calls.terminate());
  return { calls, events, exited };
}

test('each call resolves to its own answer', async (t) => {
  const { calls, events } = start(t);
  assert.deepEqual(
    await Promise.all(Array.from({ length: 50 }, (_, i) => calls.call('add', [i, 1]))),
    Array.from({ length: 50 }, (_, i) => i + 1),
  );
  const value = new Map([['a', new Set([1])]]);
  assert.deepEqual(await calls.call('echo', [value]), value);
  await calls.call('tell', [3]);
  assert.deepEqual(events, [0, 1, 2]);
});

test('errors come back with their message and cause, whatever they hold', async (t) => {
  const { calls } = start(t);
  await assert.rejects(
    calls.call('fail', []),
    (error: Error) =>
      error instanceof TypeError && error.message === 'it failed' && (error.cause as Error).message === 'the reason',
  );
  await assert.rejects(calls.call('failUncloneably', []), { message: 'it failed' });
  await assert.rejects(calls.call('failByName', []), { name: 'DiskError', code: 'full', message: 'no room' });
  await assert.rejects(calls.call('answerUncloneably', []), /could not be cloned/);
  await assert.rejects(calls.call('none' as 'fail', []), /no method none/);
  assert.equal(await calls.call('add', [1, 2]), 3, 'and the thread goes on');
});

test('an abort reaches the other side', async (t) => {
  const { calls } = start(t);
  const abort = new AbortController();
  const waiting = calls.call('untilAborted', [], abort.signal);
  abort.abort();
  await assert.rejects(waiting, /aborted/);
  await assert.rejects(calls.call('untilAborted', [], AbortSignal.abort()), /aborted/);
});

test('pending calls are rejected when the thread crashes or exits', async (t) => {
  for (const end of ['crash', 'exit'] as const) {
    const { calls, exited } = start(t);
    const waiting = [calls.call('untilAborted', []), calls.call(end, [])];
    for (const call of waiting) await assert.rejects(call, ThreadEnded);
    assert.match((await exited).message, end === 'crash' ? /nobody is ready for this/ : /status 7/);
    await assert.rejects(calls.call('add', [1, 2]), ThreadEnded);
  }
});

test('terminate rejects pending calls, and does not call onExit', async (t) => {
  const { calls, exited } = start(t);
  const waiting = assert.rejects(calls.call('untilAborted', []), ThreadEnded);
  await calls.call('add', [1, 2]);
  await calls.terminate();
  await waiting;
  assert.equal(await Promise.race([exited, Promise.resolve('not told')]), 'not told');
});
