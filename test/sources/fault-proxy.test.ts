import assert from 'node:assert/strict';
import test from 'node:test';
import { playRegistry, readRegistry, sendJson } from '../registry/http/play-registry.ts';
import { FaultProxy, type FaultPlan } from './fault-proxy.ts';
import { FAULTS } from './faults.ts';

/**
 * Asks for the tags of many repositories in some order; gives what was played, sorted, and how many answers were right.
 */
async function readThrough(
  proxy: FaultProxy,
  ask: (repository: string) => Promise<unknown>,
  plan: FaultPlan,
  order: 1 | -1,
): Promise<[string[], number]> {
  proxy.play(plan);
  const repositories = Array.from({ length: 100 }, (_, number) => `a${number * order + (order > 0 ? 0 : 99)}`);
  const results = await Promise.allSettled(repositories.map(ask));
  return [
    proxy.played.map(({ fault, request }) => `${fault}: ${request}`).toSorted(),
    results.filter(({ status }) => status === 'fulfilled').length,
  ];
}

test('the same seed plays the same faults, whatever the order of the requests, and another one others', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => sendJson(response, { tags: ['a'] }));
  await using proxy = await FaultProxy.start(url);
  const source = readRegistry(t, proxy.url, { pauses: [1] });
  const ask = (repository: string): Promise<unknown> => source.tags(repository);
  // What is asked would depend on the order: after a 400 all lists of a registry are asked for without `n`, and after
  // many 429 it is left alone.
  const order = new Set(['status 400', 'status 429']);
  const faults = Object.keys(FAULTS).filter((name) => FAULTS[name]?.slow !== true && !order.has(name));
  const [played, right] = await readThrough(proxy, ask, { seed: 1, rate: 0.3, faults }, 1);
  assert.ok(played.length > 20 && right > 50 && right < 100, `${played.length} ${right}`);
  assert.deepEqual(await readThrough(proxy, ask, { seed: 1, rate: 0.3, faults }, -1), [played, right]);
  assert.notDeepEqual(await readThrough(proxy, ask, { seed: 2, rate: 0.3, faults }, 1), [played, right]);
  proxy.heal();
  assert.deepEqual(await source.tags('a0'), ['a']);
});
