import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import * as fc from 'fast-check';
import type { RegistryError } from '../../../../src/registry/registry-error.ts';
import { parseRetryAfter } from '../../../../src/registry/http/transport/retry.ts';
import { playRegistry, readRegistry, sendJson } from '../play-registry.ts';

for (const status of [408, 425, 429, 500, 502, 503, 504]) {
  test(`${status} is retried`, async (t) => {
    const { url, seen } = await playRegistry(t, (_request, response) => {
      if (seen.length < 4) sendJson(response, {}, {}, status);
      else sendJson(response, { tags: ['a'] });
    });
    const source = readRegistry(t, url);
    assert.deepEqual(await source.tags('a'), ['a']);
    assert.equal(source.requests, 4);
  });
}

test('a lost connection is retried', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) => {
    if (seen.length === 1) response.destroy();
    else if (seen.length === 2) response.writeHead(200, { 'content-length': 100 }).write('{', () => response.destroy());
    else sendJson(response, { tags: ['a'] });
  });
  assert.deepEqual(await readRegistry(t, url).tags('a'), ['a']);
});

test('after the last attempt the registry is unavailable, and the error has the last answer', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) =>
    sendJson(response, { errors: [{ code: 'UNAVAILABLE' }] }, {}, 503),
  );
  await assert.rejects(readRegistry(t, url).tags('a'), {
    code: 'unavailable',
    message: /answered 503 \(UNAVAILABLE\)/,
  });
  assert.equal(seen.length, 4);
});

test('a 429 does not count as one of a request’s attempts', async (t) => {
  const answers = [429, 429, 500, 429, 429, 429, 502, 429, 504, 429];
  const { url, seen } = await playRegistry(t, (_request, response) => {
    const status = answers[seen.length - 1];
    if (status === undefined) sendJson(response, { tags: ['a'] });
    else sendJson(response, {}, {}, status);
  });
  assert.deepEqual(await readRegistry(t, url).tags('a'), ['a']);
  assert.equal(seen.length, answers.length + 1);
});

test('a registry that answers only 429 gets no more requests, not even those that wait', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) =>
    sendJson(response, { errors: [{ code: 'TOOMANYREQUESTS' }] }, {}, 429),
  );
  const source = readRegistry(t, url, { concurrency: 1 });
  const [first, ...others] = await Promise.allSettled(
    Array.from({ length: 500 }, (_, number) => source.tags(`a${number}`)),
  );
  assert.match(String(first?.status === 'rejected' && first.reason), /answered 429 \(TOOMANYREQUESTS\)/);
  for (const { status } of others) assert.equal(status, 'rejected');
  assert.ok(seen.length < 100, `${seen.length} requests`);
});

for (const headers of [{}, { 'retry-after': '0' }]) {
  test(`a registry that allows twenty requests in a quarter of a second is read without a failure, ${'retry-after' in headers ? 'with' : 'without'} Retry-After`, async (t) => {
    const taken: number[] = [];
    const { url } = await playRegistry(t, (_request, response) => {
      const now = performance.now();
      while ((taken[0] ?? now) < now - 250) taken.shift();
      if (taken.length >= 20) sendJson(response, {}, headers, 429);
      else {
        taken.push(now);
        sendJson(response, { tags: ['a'] });
      }
    });
    const source = readRegistry(t, url, { concurrency: 128, pauses: [20, 50, 100] });
    const lists = await Promise.all(Array.from({ length: 60 }, (_, number) => source.tags(`a${number}`)));
    assert.ok(lists.every(([tag]) => tag === 'a'));
  });
}

test('permanent failures are not retried', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) => sendJson(response, {}, {}, 400));
  await assert.rejects(readRegistry(t, url).manifest('a', 'latest'), { code: 'malformed' });
  assert.equal(seen.length, 1);
});

/**
 * A registry that answers the first request at or below `path` with `status` and a Retry-After of a second, and the
 * times of its requests.
 */
async function playPausing(
  t: TestContext,
  status: number,
  path = '/v2/',
): Promise<{ readonly url: string; readonly times: readonly number[] }> {
  const times: number[] = [];
  const { url } = await playRegistry(t, (request, response) => {
    times.push(performance.now());
    if (request.url.startsWith(path) && times.length === 1) sendJson(response, {}, { 'retry-after': '1' }, status);
    else sendJson(response, { tags: [] });
  });
  return { url, times };
}

function assertPaused([first = 0, second = 0]: readonly number[]): void {
  assert.ok(second - first > 990, `${second - first} ms`);
}

test('Retry-After is respected', async (t) => {
  const { url, times } = await playPausing(t, 503);
  await readRegistry(t, url).tags('a');
  assertPaused(times);
});

test('a request is not retried if Retry-After is longer than its retries may take', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) =>
    sendJson(response, {}, { 'retry-after': '3600' }, 503),
  );
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'unavailable', message: /answered 503/ });
  assert.equal(seen.length, 1);
});

test('a 429 pauses all requests', async (t) => {
  const { url, times } = await playPausing(t, 429, '/v2/limited/');
  const source = readRegistry(t, url, { concurrency: 1 });
  await Promise.all(['limited', 'a', 'b'].map((repository) => source.tags(repository)));
  assert.equal(times.length, 4);
  assertPaused(times);
});

test('a 429 that is not retried pauses all requests for its Retry-After', async (t) => {
  const { url, times } = await playPausing(t, 429);
  const source = readRegistry(t, url, { concurrency: 1, pauses: [] });
  await assert.rejects(source.tags('limited'), { code: 'unavailable' });
  await source.tags('a');
  assertPaused(times);
});

test('a registry with a long Retry-After gets no requests, not even those that wait', async (t) => {
  const { url, seen } = await playRegistry(t, (_request, response) =>
    sendJson(response, {}, { 'retry-after': '3600' }, 429),
  );
  const source = readRegistry(t, url, { concurrency: 2 });
  const told = await Promise.all(
    Array.from({ length: 20 }, (_, number) =>
      source.tags(`a${number}`).then(String, (error: RegistryError) => `${error.code}: ${error.message}`),
    ),
  );
  assert.ok(seen.length <= 2, `${seen.length} requests`);
  assert.match(
    told.at(-1) ?? '',
    /^unavailable: the registry limits requests, and gets none until 20\d\d-\S+Z: GET http:\S+: answered 429$/,
  );
  const before = seen.length;
  await assert.rejects(source.tags('later'), { code: 'unavailable', message: /gets none until/ });
  assert.equal(seen.length, before);
});

test('an abort ends a pause, and a wait for the gate, at once', async (t) => {
  const aborting = new AbortController();
  const reason = new Error('enough');
  const { url, seen } = await playRegistry(t, (request, response) => {
    // The connection is closed after the answer was read.
    request.socket.once('close', () => {
      aborting.abort(reason);
    });
    sendJson(response, {}, { 'retry-after': '20', connection: 'close' }, 429);
  });
  const source = readRegistry(t, url, { concurrency: 1 });
  const requests = ['a', 'b', 'c'].map((repository) => source.tags(repository, aborting.signal));
  for (const request of requests) await assert.rejects(request, reason);
  assert.equal(seen.length, 1);
});

/** The time that Retry-After is read at. */
const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

test('seconds and dates of Retry-After are read', () => {
  assert.equal(parseRetryAfter('0', NOW), 0);
  assert.equal(parseRetryAfter(' 120 ', NOW), 120_000);
  assert.equal(parseRetryAfter('Fri, 02 Jan 2026 03:04:35 GMT', NOW), 30_000);
  assert.equal(parseRetryAfter('Friday, 02-Jan-26 03:04:35 GMT', NOW), 30_000);
  assert.equal(parseRetryAfter('Thu, 01 Jan 2026 00:00:00 GMT', NOW), 0);
});

test('an invalid Retry-After counts as absent', () => {
  for (const header of [undefined, '', '-1', '1.5', 'soon', 'Fri, nonsense'])
    assert.equal(parseRetryAfter(header, NOW), undefined, header);
});

test('any Retry-After gives a time or undefined', () => {
  fc.assert(
    fc.property(fc.string(), (header) => {
      const pause = parseRetryAfter(header, NOW);
      return pause === undefined || pause >= 0;
    }),
  );
});
