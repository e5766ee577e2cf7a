import assert from 'node:assert/strict';
import test from 'node:test';
import { playRegistry, readRegistry, sendJson } from '../play-registry.ts';

test('there are never more requests at once than allowed, and as many as that', async (t) => {
  let now = 0;
  let most = 0;
  const { url, connections } = await playRegistry(t, (_request, response) => {
    most = Math.max(most, ++now);
    setTimeout(() => {
      now--;
      sendJson(response, { tags: [] });
    }, 5);
  });
  const source = readRegistry(t, url, { concurrency: 3 });
  await Promise.all(Array.from({ length: 30 }, (_, number) => source.tags(`a${number}`)));
  assert.equal(most, 3);
  assert.equal(connections(), 3);
  assert.equal(source.requests, 30);
});

test('a request that is aborted while it waits makes room for the next', async (t) => {
  const answers: (() => void)[] = [];
  const { url, seen } = await playRegistry(t, (request, response) => {
    const answer = (): void => {
      sendJson(response, { tags: [] });
    };
    if (request.url.includes('first')) answers.push(answer);
    else answer();
  });
  const source = readRegistry(t, url, { concurrency: 1 });
  const aborting = new AbortController();
  const first = source.tags('first');
  const second = source.tags('second', aborting.signal);
  const third = source.tags('third');
  aborting.abort(new Error('enough'));
  await assert.rejects(second, /enough/);
  while (answers.length === 0) await new Promise((resolve) => setImmediate(resolve));
  answers[0]?.();
  await Promise.all([first, third]);
  assert.deepEqual(seen, ['GET /v2/first/tags/list?n=1000', 'GET /v2/third/tags/list?n=1000']);
});
