/** Limits of requests, in the forms that the APIs have for them. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { refusalPause, usedUpPause } from '../../../src/registry/listing/rate-limit.ts';
import { allPages, sendJson } from '../http/play-registry.ts';
import { playApi, readList } from './made-up/made-up-apis.ts';

const NOW = Date.parse('2026-05-01T12:00:00Z');
const IN_AN_HOUR = String(NOW / 1000 + 3600);

function answer(status: number, headers: Readonly<Record<string, string>>) {
  return {
    where: '',
    status,
    headers: { date: 'Fri, 01 May 2026 12:00:00 GMT', ...headers },
    latency: 0,
    body: Buffer.alloc(0),
  };
}

test('the pause after a refusal', () => {
  const cases: readonly (readonly [number, Readonly<Record<string, string>>, number | undefined])[] = [
    [429, {}, 0],
    [429, { 'retry-after': '7' }, 7000],
    [429, { 'retry-after': 'Fri, 01 May 2026 12:00:09 GMT' }, 9000],
    [429, { 'x-retry-after': IN_AN_HOUR }, 3_601_000],
    [429, { 'retry-after': '3', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': IN_AN_HOUR }, 3_601_000],
    [429, { 'ratelimit-remaining': '0', 'ratelimit-reset': IN_AN_HOUR }, 3_601_000],
    [429, { 'ratelimit-remaining': '0', 'ratelimit-reset': '30' }, 30_000],
    [429, { 'ratelimit-remaining': '5', 'ratelimit-reset': '30' }, 0],
    [403, {}, undefined],
    [403, { 'x-ratelimit-remaining': '4000', 'x-ratelimit-reset': IN_AN_HOUR }, undefined],
    [403, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': IN_AN_HOUR }, 3_601_000],
    [403, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': 'soon' }, 60_000],
    [403, { 'x-ratelimit-remaining': '4000', 'retry-after': '60' }, 60_000],
    [200, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': IN_AN_HOUR }, undefined],
    [503, { 'retry-after': '7' }, undefined],
  ];
  for (const [status, headers, pause] of cases)
    assert.equal(refusalPause(answer(status, headers)), pause, `${status} ${JSON.stringify(headers)}`);
});

test('the pause after an answer that used up the limit', () => {
  assert.equal(usedUpPause(answer(200, {})), 0);
  assert.equal(usedUpPause(answer(200, { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': IN_AN_HOUR })), 0);
  assert.equal(usedUpPause(answer(200, { 'x-ratelimit-remaining': '0' })), 0);
  assert.equal(usedUpPause(answer(200, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': IN_AN_HOUR })), 3_601_000);
  assert.equal(usedUpPause(answer(200, { 'ratelimit-remaining': '0', 'ratelimit-reset': IN_AN_HOUR })), 3_601_000);
  // A time that is over.
  assert.equal(usedUpPause(answer(200, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1000000001' })), 0);
});

/** Headers of a limit that ends in half an hour. */
function used(prefix: 'x-ratelimit' | 'ratelimit'): Record<string, string> {
  return { [`${prefix}-remaining`]: '0', [`${prefix}-reset`]: String(Math.floor(Date.now() / 1000) + 1800) };
}

for (const [kind, prefix, status] of [
  ['ghcr', 'x-ratelimit', 403],
  ['ghcr', 'x-ratelimit', 429],
  ['docker-hub', 'x-ratelimit', 429],
  ['gitlab', 'ratelimit', 429],
] as const) {
  suite(`a limit of ${kind} that ends in half an hour, told by ${status}`, () => {
    test('ends the list, and nothing more is asked until then', async (t) => {
      const { url, seen } = await playApi(t, kind, { names: [] }, (request, response) => {
        if (request.method === 'POST') return false;
        sendJson(response, { message: 'API rate limit exceeded' }, used(prefix), status);
        return true;
      });
      const source = readList(t, kind, url);
      const list = () => allPages(source.repositories());
      await assert.rejects(list(), (error: Error & { readonly code?: string }) => {
        assert.equal(error.code, 'unavailable');
        const [, end = ''] =
          /answered \d+ \(API rate limit exceeded\); its limit of requests ends at (\S+)$/.exec(error.message) ?? [];
        assert.ok(Date.parse(end) > Date.now() + 1_700_000, error.message);
        return true;
      });
      const asked = seen.length;
      await assert.rejects(list(), /limits requests, and gets none until \d{4}-.*answered \d+/);
      assert.equal(seen.length, asked);
    });

    test('and is used up by a page, ends the list before it is refused', async (t) => {
      const names = Array.from({ length: 150 }, (_, number) => `app${number}`);
      const { url, seen } = await playApi(t, kind, { names }, (request, response) => {
        for (const [header, value] of Object.entries(used(prefix))) response.setHeader(header, value);
        return request.method === 'HEAD';
      });
      const found: string[] = [];
      await assert.rejects(
        (async () => {
          for await (const page of readList(t, kind, url).repositories()) found.push(...page);
        })(),
        { code: 'unavailable', message: /limits requests, and gets none until \d{4}-/ },
      );
      assert.equal(found.length, 100);
      assert.equal(seen.filter((request) => request.startsWith('GET')).length, 1);
    });
  });
}

test('a limit that ends at once is waited for', async (t) => {
  const names = Array.from({ length: 150 }, (_, number) => `app${number}`);
  let refused = false;
  const { url } = await playApi(t, 'ghcr', { names }, (_, response) => {
    const over = String(Math.floor(Date.now() / 1000) - 10);
    response.setHeader('x-ratelimit-remaining', '0').setHeader('x-ratelimit-reset', over);
    if (refused) return false;
    refused = true;
    sendJson(response, { message: 'API rate limit exceeded' }, {}, 403);
    return true;
  });
  assert.equal((await allPages(readList(t, 'ghcr', url).repositories())).flat().length, 150);
});
