import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { parseQuery } from '../../src/indexing/query/parse-query.ts';
import { Snapshot } from '../../src/indexing/snapshot/snapshot.ts';
import type { Answer, Question } from '../../src/server/answers.ts';
import { ThreadEnded } from '../../src/threads/calls.ts';
import { Querier } from '../../src/threads/querier.ts';
import { named, TestState } from '../indexing/test-state.ts';

interface Setup {
  readonly state: TestState;
  readonly querier: Querier;
  /** Deaths that were told of. */
  readonly exits: Error[];
  /** Builds what is in the registry, and has it used. */
  readonly publish: () => Promise<Snapshot>;
}

async function setUp(t: TestContext, memoryLimit?: number): Promise<Setup> {
  const state = await TestState.open(t);
  state.registry.pushImage('apps/clock', 'latest', named('clock'));
  state.registry.pushImage('apps/hello', 'latest', named('hello'));
  const exits: Error[] = [];
  const querier = new Querier((error) => exits.push(error));
  t.after(() => querier.close());
  const publish = async (): Promise<Snapshot> => {
    await state.rebuild();
    const snapshot = await Snapshot.open(state.snapshotFile(), memoryLimit);
    t.after(() => snapshot.close());
    await querier.use(snapshot);
    return snapshot;
  };
  return { state, querier, exits, publish };
}

function ask(query: string, { etag }: Snapshot): Question {
  return { index: 'apps', snapshot: etag, query: parseQuery(query), encoding: 'identity', keep: false };
}

function textOf(answer: Answer | 'whole'): string {
  return answer === 'whole' ? answer : answer.body.toString();
}

/** The next thread that is started. */
async function nextThread(): Promise<Worker> {
  const [worker] = (await once(process, 'worker')) as [Worker];
  return worker;
}

test('questions are answered from the snapshot that was given last', async (t) => {
  for (const memoryLimit of [undefined, 0]) {
    const { state, querier, publish } = await setUp(t, memoryLimit);
    const first = await publish();
    assert.match(textOf(await querier.answer(ask('repository=apps/hello', first))), /"name":"hello"/);
    assert.equal(await querier.answer(ask('os=linux', first)), 'whole');
    state.registry.pushImage('apps/new', 'latest', named('new'));
    const second = await publish();
    const answer = await querier.answer(ask('repository=apps/new', second));
    assert.match(textOf(answer), /"name":"new"/);
    assert.ok(answer !== 'whole' && answer.snapshot === second.etag);
    // Shared memory is not counted by V8, which would not know when to free it.
    assert.ok(answer.body.buffer instanceof ArrayBuffer && answer.body.buffer.byteLength === answer.body.length);
    const ofTheOther = await querier.answer(ask('os=linux', first));
    assert.ok(ofTheOther !== 'whole' && ofTheOther.snapshot === second.etag, 'all of the second is not all of the first');
  }
});

test('replacing snapshots fails no question, also where they are read from disk', async (t) => {
  const { state, querier, publish } = await setUp(t, 0);
  let snapshot = await publish();
  let answered = 0;
  const done = new AbortController();
  const asking = Array.from({ length: 8 }, async (_, i) => {
    while (!done.signal.aborted) {
      const answer = await querier.answer(ask(`repository=apps/hello&tag=latest&tag=x${i}`, snapshot));
      assert.match(textOf(answer), /"name":"hello"/);
      answered++;
    }
  });
  for (let i = 0; i < 10; i++) {
    state.registry.pushImage(`apps/new${i}`, 'latest', named(`new${i}`));
    snapshot = await publish();
  }
  done.abort();
  await Promise.all(asking);
  assert.ok(answered >= 8);
});

test('a thread that dies is told of, and the next question starts another', async (t) => {
  const { state, querier, exits, publish } = await setUp(t);
  const snapshot = await publish();
  const started = nextThread();
  const first = querier.answer(ask('repository=apps/hello', snapshot));
  const worker = await started;
  await first;
  // It dies before it can answer.
  const dying = worker.terminate();
  await assert.rejects(querier.answer(ask('repository=apps/clock', snapshot)), ThreadEnded);
  await dying;
  assert.equal(exits.length, 1);
  state.registry.pushImage('apps/new', 'latest', named('new'));
  const second = await publish();
  assert.match(textOf(await querier.answer(ask('repository=apps/new', second))), /"name":"new"/);
  assert.equal(exits.length, 1);
});

test('a thread that dies while it takes a snapshot does not keep that from being served', async (t) => {
  const { querier, exits, publish } = await setUp(t);
  const snapshot = await publish();
  const started = nextThread();
  await querier.answer(ask('repository=apps/hello', snapshot)).catch(() => undefined);
  const worker = await started;
  const used = querier.use(snapshot);
  await worker.terminate();
  await used;
  assert.match(textOf(await querier.answer(ask('repository=apps/hello', snapshot))), /"name":"hello"/);
  assert.equal(exits.length, 1);
});

test('a long question lets others have their turns, and ends when nobody waits for it', async (t) => {
  const { state, querier, publish } = await setUp(t);
  // A value of its own for each image, too long to be kept apart from the document.
  for (let image = 0; image < 400; image++) state.registry.pushImage(`apps/${image}`, 'latest', named(`${image}`, { long: 'x'.repeat(40_000) + image }));
  const snapshot = await publish();
  await querier.answer(ask('repository=apps/hello', snapshot));
  const told: string[] = [];
  const gone = new AbortController();
  const long = querier.answer(ask('label:long:matches=*x*x*x9', snapshot)).then(() => told.push('long'));
  const given = assert.rejects(querier.answer(ask('label:long:matches=*x*x*x8', snapshot), gone.signal), { name: 'AbortError' }).then(() => told.push('given up'));
  await querier.answer(ask('repository=apps/clock', snapshot));
  told.push('short');
  gone.abort();
  await Promise.all([long, given]);
  assert.deepEqual(told, ['short', 'given up', 'long']);
});
