import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PostponedDeltas } from '../../src/app/postponed-deltas.ts';
import { digestOf } from '../../src/registry/digest.ts';

test('of very many deltas that failed, those that failed longest ago are forgotten', () => {
  const postponed = new PostponedDeltas();
  const target = digestOf('target');
  const pairs = Array.from({ length: 1001 }, (_, place) => ({
    registry: `https://${place % 7}.example.org`,
    source: digestOf(String(place)),
    target,
  }));
  for (const pair of pairs) postponed.add(pair);
  assert.deepEqual(postponed.passedOver('failed', Date.now()).pairs, pairs.slice(1));
});
