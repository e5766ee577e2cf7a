import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import type { RebuildResult, RebuildScope } from '../../src/indexing/rebuild.ts';
import { RebuildQueue, type RebuildQueueOptions, type RunOptions } from '../../src/triggers/rebuild-queue.ts';
import { describeScope } from '../../src/triggers/rebuild-scope.ts';
import type { Rebuild } from '../../src/triggers/rebuild.ts';

const REGISTRIES = new Map([
  ['one', ['stable', 'beta']],
  ['two', ['other']],
]);

/** A running rebuild, which the test ends. */
interface Run extends RunOptions {
  readonly registry: string;
  readonly scope: RebuildScope;
  succeed(): void;
  end(result: Partial<RebuildResult>): void;
  fail(error: Error): void;
}

/** A queue for REGISTRIES, and the rebuilds that it runs, in order. */
function startQueue(
  t: TestContext,
  registries: ReadonlyMap<string, readonly string[]> = REGISTRIES,
  more: Pick<RebuildQueueOptions, 'publicMessage'> = {},
) {
  const lines: Record<string, unknown>[] = [];
  const logger = pino({ level: 'info' }, { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  const started: Run[] = [];
  const waiting: ((run: Run) => void)[] = [];
  const queue = new RebuildQueue({
    ...more,
    registries,
    logger,
    retryPauses: { first: 1_000, longest: 8_000 },
    run: (registry, scope, options) => {
      const { promise, resolve, reject } = Promise.withResolvers<RebuildResult>();
      options.signal.addEventListener('abort', () => reject(options.signal.reason as Error));
      const end = (result: Partial<RebuildResult>): void => {
        resolve({
          registry,
          seconds: 1,
          repositories: 2,
          requests: 3,
          newImages: 1,
          failures: [],
          indexes: [],
          ...result,
        });
      };
      const run: Run = { ...options, registry, scope, succeed: () => end({}), end, fail: reject };
      const next = waiting.shift();
      if (next === undefined) started.push(run);
      else next(run);
      return promise;
    },
  });
  t.after(() => queue.close({ graceMs: 0 }));
  const nextRun = (): Promise<Run> => {
    const run = started.shift();
    return run === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(run);
  };
  return { queue, lines, nextRun };
}

function scopeOf(rebuild: { readonly scope: RebuildScope }) {
  return describeScope(rebuild.scope);
}

function states(queue: RebuildQueue): string[] {
  return queue.recent().map(({ state }) => state);
}

const INDEX_STABLE = { kind: 'index', index: 'stable' } as const;

test('a rebuild is queued, runs, reports its progress and is done', async (t) => {
  const { queue, nextRun } = startQueue(t);
  const told: [string, Rebuild][] = [];
  for (const event of ['queued', 'started', 'progress', 'finished'] as const)
    queue.on(event, (rebuild) => told.push([event, rebuild]));

  const queued = queue.request({ reason: 'test', scope: INDEX_STABLE });
  assert.deepEqual(
    [queued.state, queued.registry, queued.reasons, scopeOf(queued)],
    ['queued', 'one', ['test'], { indexes: ['stable'], repositories: [] }],
  );

  const run = await nextRun();
  assert.deepEqual([run.id, run.registry, scopeOf(run)], [queued.id, 'one', scopeOf(queued)]);
  const progress = {
    phase: 'scanning',
    repositories: { done: 1, total: 2 },
    images: { done: 0, total: 0 },
    requests: 2,
  } as const;
  run.onProgress(progress);
  assert.deepEqual([queue.get(queued.id)?.state, queue.get(queued.id)?.progress], ['running', progress]);

  run.end({ newImages: 7 });
  const done = await queue.finished(queued.id);
  assert.equal('progress' in done, false, 'only a running rebuild has progress');
  assert.deepEqual([done.state, done.result?.newImages, done.error], ['done', 7, undefined]);
  assert.ok(done.queuedAt <= (done.startedAt ?? 0) && (done.startedAt ?? 0) <= (done.finishedAt ?? 0));
  assert.deepEqual(queue.get(queued.id), done);
  assert.deepEqual(
    told.map(([event, { id, state }]) => [event, id, state]),
    [
      ['queued', queued.id, 'queued'],
      ['started', queued.id, 'running'],
      ['progress', queued.id, 'running'],
      ['finished', queued.id, 'done'],
    ],
  );
  assert.equal(queued.state, 'queued', 'earlier snapshots do not change');
});

test('requests during a rebuild are merged into the next one', async (t) => {
  const { queue, nextRun } = startQueue(t);
  queue.request({ reason: 'first', scope: INDEX_STABLE });
  const first = await nextRun();
  const second = queue.request({
    reason: 'a push',
    scope: { kind: 'tag', registry: 'one', repository: 'hello', tag: '1' },
  });
  const third = queue.request({
    reason: 'another push',
    scope: { kind: 'tag', registry: 'one', repository: 'hello', tag: '2' },
  });
  assert.equal(third.id, second.id);
  assert.deepEqual(states(queue), ['queued', 'running']);

  first.succeed();
  const merged = await nextRun();
  assert.equal(merged.id, second.id);
  assert.deepEqual(scopeOf(merged), { indexes: [], repositories: ['hello:1', 'hello:2'] });
  merged.succeed();
  assert.deepEqual((await queue.finished(second.id)).reasons, ['a push', 'another push']);
  assert.deepEqual(states(queue), ['done', 'done']);
});

test('a burst costs two rebuilds', async (t) => {
  const { queue, nextRun } = startQueue(t);
  const first = queue.request({ reason: 'bus', scope: INDEX_STABLE });
  const run = await nextRun();
  const others = new Set(Array.from({ length: 1000 }, () => queue.request({ reason: 'bus', scope: INDEX_STABLE }).id));
  run.succeed();
  (await nextRun()).succeed();
  await Promise.all([...others, first.id].map((id) => queue.finished(id)));
  assert.equal(others.size, 1);
  assert.deepEqual(states(queue), ['done', 'done']);
});

test('requests of the same tick are one rebuild', async (t) => {
  const { queue, nextRun } = startQueue(t);
  const { id } = queue.request({
    reason: 'events',
    scope: [
      { kind: 'tag', repository: 'a', tag: '1', registry: 'one' },
      { kind: 'repository', repository: 'b', registry: 'one' },
    ],
  });
  assert.equal(queue.request({ reason: 'events', scope: INDEX_STABLE }).id, id);
  assert.deepEqual(scopeOf(await nextRun()), { indexes: ['stable'], repositories: ['a:1', 'b'] });
});

test('each registry has its own rebuild; a rebuild of all combines them', async (t) => {
  const { queue, nextRun } = startQueue(t);
  const all = queue.request({ reason: 'start', scope: { kind: 'everything' } });
  assert.deepEqual(
    [all.state, all.registry, all.rebuilds?.map(({ registry }) => registry)],
    ['queued', undefined, ['one', 'two']],
  );
  assert.deepEqual(scopeOf(all), { indexes: 'all', repositories: [] });
  assert.equal(queue.request({ reason: 'again', scope: { kind: 'everything' } }).id, all.id);

  const [one, two] = [await nextRun(), await nextRun()];
  assert.deepEqual([one.registry, two.registry], ['one', 'two']);
  assert.equal(queue.get(all.id)?.state, 'running');
  one.succeed();
  await queue.finished(one.id);
  assert.equal(queue.get(all.id)?.state, 'running');
  two.fail(new Error('no catalog'));

  const ended = await queue.finished(all.id);
  assert.deepEqual([ended.state, ended.error, ended.reasons], ['failed', 'two: no catalog', ['start', 'again']]);
  assert.deepEqual(
    ended.rebuilds?.map(({ state }) => state),
    ['done', 'failed'],
  );
  assert.equal(queue.get(all.id)?.state, 'failed');
  assert.notEqual(queue.request({ reason: 'later', scope: { kind: 'everything' } }).id, all.id);
});

test('a repository is looked for in every registry unless one is named', async (t) => {
  const { queue, nextRun } = startQueue(t);
  queue.request({ reason: 'test', scope: { kind: 'repository', repository: 'hello' } });
  const [one, two] = [await nextRun(), await nextRun()];
  assert.deepEqual(
    [one, two].map(({ registry, scope }) => [registry, describeScope(scope).repositories]),
    [
      ['one', ['hello']],
      ['two', ['hello']],
    ],
  );
  queue.request({ reason: 'test', scope: { kind: 'registry', registry: 'two' } });
  two.succeed();
  assert.deepEqual(scopeOf(await nextRun()), { indexes: 'all', repositories: [] });
});

test('an index or a registry that is not configured is refused', (t) => {
  const { queue } = startQueue(t);
  assert.throws(() => queue.request({ reason: 'test', scope: { kind: 'index', index: 'none' } }), RangeError);
  assert.throws(() => queue.request({ reason: 'test', scope: { kind: 'registry', registry: 'none' } }), RangeError);
  assert.throws(
    () => queue.request({ reason: 'test', scope: { kind: 'tag', registry: 'none', repository: 'a', tag: '1' } }),
    RangeError,
  );
  assert.deepEqual(queue.recent(), []);
});

test('a request for everything without registries is done at once', async (t) => {
  const { queue } = startQueue(t, new Map());
  const { id } = queue.request({ reason: 'test', scope: { kind: 'everything' } });
  assert.equal((await queue.finished(id)).state, 'done');
});

test('a failed rebuild is retried with backoff until it succeeds', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const { queue, nextRun } = startQueue(t);
  let { id } = queue.request({ reason: 'test', scope: INDEX_STABLE });
  for (const [shortest, longest] of [
    [500, 1_000],
    [1_000, 2_000],
    [2_000, 4_000],
    [4_000, 8_000],
    [4_000, 8_000],
  ] as const) {
    (await nextRun()).fail(new Error('no connection'));
    const failed = await queue.finished(id);
    assert.deepEqual([failed.state, failed.error], ['failed', 'no connection']);
    const [retry] = queue.recent();
    const pause = (retry?.dueAt ?? 0) - Date.now();
    assert.ok(pause >= shortest && pause <= longest, `${pause} ms`);
    assert.deepEqual(
      [retry?.state, retry?.reasons, retry && scopeOf(retry)],
      ['queued', [`rebuild ${id} failed`], { indexes: ['stable'], repositories: [] }],
    );
    t.mock.timers.tick(Math.floor(pause) - 1);
    assert.equal(queue.recent()[0]?.state, 'queued');
    t.mock.timers.tick(2);
    ({ id } = queue.recent()[0] ?? { id });
  }
  (await nextRun()).succeed();
  assert.equal((await queue.finished(id)).state, 'done');
  t.mock.timers.tick(1_000_000);
  assert.equal(queue.recent()[0]?.id, id, 'no more retries');

  ({ id } = queue.request({ reason: 'test', scope: INDEX_STABLE }));
  (await nextRun()).fail(new Error('no connection'));
  await queue.finished(id);
  assert.ok((queue.recent()[0]?.dueAt ?? 0) - Date.now() <= 1_000, 'the backoff starts again');
});

test('waiting for a retry ends with the rebuild that replaces it', async (t) => {
  const { queue, nextRun } = startQueue(t);
  const { id } = queue.request({ reason: 'test', scope: INDEX_STABLE });
  (await nextRun()).fail(new Error('no connection'));
  await queue.finished(id);
  const retry = queue.recent()[0]?.id ?? '';
  const finished = queue.finished(retry);
  const wider = queue.request({ reason: 'test', scope: { kind: 'registry', registry: 'one' } });
  (await nextRun()).succeed();
  assert.deepEqual([(await finished).id, (await finished).state], [wider.id, 'done']);
  assert.notEqual(retry, wider.id);
});

test('only failures are retried', async (t) => {
  const { queue, nextRun } = startQueue(t);
  const { id } = queue.request({ reason: 'test', scope: { kind: 'registry', registry: 'one' } });
  (await nextRun()).end({
    failures: [
      { repository: 'a', error: 'too large' },
      { repository: 'b', error: 'malformed' },
    ],
  });
  const failed = await queue.finished(id);
  assert.deepEqual([failed.state, failed.error, failed.result?.failed], ['failed', 'a: too large (and 1 more)', 2]);
  assert.deepEqual(queue.recent().map(scopeOf)[0], { indexes: [], repositories: ['a', 'b'] });
});

test('a tag that failed is retried as a tag', async (t) => {
  const { queue, nextRun } = startQueue(t);
  const { id } = queue.request({ reason: 'test', scope: { kind: 'tag', registry: 'one', repository: 'a', tag: '1' } });
  (await nextRun()).end({ failures: [{ repository: 'a', error: 'malformed' }] });
  await queue.finished(id);
  assert.deepEqual(queue.recent().map(scopeOf)[0], { indexes: [], repositories: ['a:1'] });
});

test('if a registry fails as a whole, the whole scope is retried', async (t) => {
  const { queue, nextRun } = startQueue(t);
  const { id } = queue.request({ reason: 'test', scope: { kind: 'registry', registry: 'one' } });
  (await nextRun()).end({
    failures: [{ repository: 'a', error: 'malformed' }, { error: 'the list of repositories broke off' }],
  });
  await queue.finished(id);
  assert.deepEqual(queue.recent().map(scopeOf)[0], { indexes: 'all', repositories: [] });
});

test('an index that could not be written is retried without reading anything', async (t) => {
  const { queue, nextRun } = startQueue(t);
  const { id } = queue.request({ reason: 'test', scope: { kind: 'registry', registry: 'one' } });
  (await nextRun()).end({
    indexes: [
      { index: 'stable', images: 0, bytes: 0, changed: false, seconds: 0, error: 'no space left', warnings: [] },
    ],
  });
  assert.equal((await queue.finished(id)).error, 'index stable: no space left');
  assert.deepEqual(queue.recent().map(scopeOf)[0], { indexes: [], repositories: [] });
});

test('requests during the pause before a retry start at once, separately', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { queue, nextRun } = startQueue(t);
  const { id } = queue.request({ reason: 'test', scope: { kind: 'registry', registry: 'one' } });
  (await nextRun()).end({ failures: [{ repository: 'a', error: 'malformed' }] });
  await queue.finished(id);

  const next = queue.request({ reason: 'a push', scope: { kind: 'tag', registry: 'one', repository: 'b', tag: '1' } });
  assert.deepEqual([next.dueAt, next.reasons], [undefined, ['a push']]);
  const run = await nextRun();
  assert.deepEqual(scopeOf(run), { indexes: [], repositories: ['b:1'] });
  run.succeed();
  assert.equal((await queue.finished(next.id)).state, 'done', 'it does not fail with the retry');
  t.mock.timers.tick(100_000);
  const again = await nextRun();
  assert.deepEqual(scopeOf(again), { indexes: [], repositories: ['a'] });
  again.succeed();
  await queue.finished(again.id);
  assert.deepEqual(queue.get(again.id)?.reasons, [`rebuild ${id} failed`]);
});

test('a retry is replaced by a rebuild that covers its scope', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  for (const scope of [
    { kind: 'registry', registry: 'one' },
    { kind: 'repository', registry: 'one', repository: 'a' },
  ] as const) {
    const { queue, nextRun } = startQueue(t);
    const { id } = queue.request({
      reason: 'test',
      scope: { kind: 'tag', registry: 'one', repository: 'a', tag: '1' },
    });
    (await nextRun()).end({ failures: [{ repository: 'a', error: 'malformed' }] });
    await queue.finished(id);
    const next = queue.request({ reason: 'test', scope });
    (await nextRun()).succeed();
    await queue.finished(next.id);
    t.mock.timers.tick(100_000);
    assert.deepEqual(states(queue), ['done', 'failed']);
  }
});

test('requests during a rebuild that fails do not wait', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { queue, nextRun } = startQueue(t);
  queue.request({ reason: 'test', scope: INDEX_STABLE });
  const first = await nextRun();
  const push = queue.request({ reason: 'a push', scope: { kind: 'repository', registry: 'one', repository: 'b' } });
  first.fail(new Error('no connection'));
  const second = await nextRun();
  assert.deepEqual(scopeOf(second), { indexes: [], repositories: ['b'] });
  second.fail(new Error('no connection'));
  await queue.finished(push.id);
  t.mock.timers.tick(100_000);
  assert.deepEqual(scopeOf(await nextRun()), { indexes: ['stable'], repositories: ['b'] }, 'both are retried as one');
});

test('reasons are listed once each, and are limited', async (t) => {
  const { queue } = startQueue(t);
  for (let round = 0; round < 2; round++) {
    for (let number = 0; number < 15; number++) queue.request({ reason: `reason ${number}`, scope: INDEX_STABLE });
  }
  const [{ reasons, otherReasons }] = queue.recent() as [Rebuild];
  assert.deepEqual([reasons.length, reasons[9], otherReasons], [10, 'reason 9', 10]);
  assert.equal(
    queue.request({ reason: 'x'.repeat(10_000), scope: { kind: 'index', index: 'other' } }).reasons[0]?.length,
    200,
  );
});

test('the last 50 rebuilds are kept, the newest first', async (t) => {
  const { queue, nextRun } = startQueue(t);
  const ids: string[] = [];
  const all = queue.request({ reason: 'test', scope: { kind: 'everything' } });
  for (let number = 0; number < 60; number++) {
    const { id } = queue.request({ reason: 'test', scope: INDEX_STABLE });
    ids.unshift(id);
    let run = await nextRun();
    if (run.registry === 'two') run = await nextRun();
    run.succeed();
    await queue.finished(id);
  }
  const { id: queued } = queue.request({ reason: 'test', scope: INDEX_STABLE });
  const recent = queue.recent().filter(({ registry }) => registry === 'one');
  assert.deepEqual(
    recent.map(({ id }) => id),
    [queued, ...ids.slice(0, 50)],
  );
  assert.equal(new Set([queued, ...ids]).size, 61);
  assert.equal(queue.get(ids[55] ?? ''), undefined);
  assert.equal(queue.get(all.id), undefined);
  await assert.rejects(queue.finished(all.id), RangeError);
});

test('closing aborts running rebuilds and starts no more', async (t) => {
  const { queue, nextRun, lines } = startQueue(t);
  const running = queue.request({ reason: 'test', scope: INDEX_STABLE });
  await nextRun();
  const queued = queue.request({ reason: 'test', scope: INDEX_STABLE });
  await queue.close({ graceMs: 10_000 });
  assert.deepEqual(
    queue.recent().map(({ id, state }) => [id, state]),
    [
      [queued.id, 'failed'],
      [running.id, 'failed'],
    ],
  );
  assert.equal((await queue.finished(running.id)).error, 'the service is stopping');
  assert.throws(() => queue.request({ reason: 'test', scope: INDEX_STABLE }), { statusCode: 503, message: /stopping/ });
  assert.deepEqual(
    lines.map(({ level }) => level),
    [30],
  );
});

test('closing does not wait for ever', async () => {
  const queue = new RebuildQueue({
    registries: REGISTRIES,
    logger: pino({ level: 'silent' }),
    run: () => new Promise(() => undefined),
  });
  queue.request({ reason: 'test', scope: INDEX_STABLE });
  await once(queue, 'started');
  await queue.close({ graceMs: 10 });
});

test('each rebuild is one line in the log, with its figures', async (t) => {
  const { queue, nextRun, lines } = startQueue(t);
  const indexes = [{ index: 'stable', images: 4, bytes: 100, changed: true, seconds: 0.1, warnings: [] }];
  const { id } = queue.request({ reason: 'a push', scope: INDEX_STABLE });
  (await nextRun()).end({ indexes });
  await queue.finished(id);
  const { id: failing } = queue.request({ reason: 'a push', scope: INDEX_STABLE });
  (await nextRun()).fail(new Error('no connection'));
  await queue.finished(failing);

  const [done, failed] = lines;
  assert.equal(lines.length, 2);
  assert.partialDeepStrictEqual(done, {
    level: 30,
    rebuild: id,
    registry: 'one',
    reasons: ['a push'],
    scope: { indexes: ['stable'] },
    repositories: 2,
    requests: 3,
    newImages: 1,
    failed: 0,
    indexes,
  });
  assert.partialDeepStrictEqual(failed, { level: 40, rebuild: failing, err: { message: 'no connection' } });
  assert.match(String(failed?.msg), /^rebuilding stable, beta failed, trying again in 1 s: no connection$/);
});

test('what the public may not see of an error is in the log alone', async (t) => {
  const { queue, nextRun, lines } = startQueue(t, REGISTRIES, { publicMessage: () => 'it failed' });
  const { id } = queue.request({ reason: 'test', scope: INDEX_STABLE });
  (await nextRun()).fail(new Error('no connection to 10.0.0.1'));
  assert.equal((await queue.finished(id)).error, 'it failed');
  assert.match(String(lines[0]?.msg), /^rebuilding stable, beta failed, .*: no connection to 10\.0\.0\.1$/);
});
