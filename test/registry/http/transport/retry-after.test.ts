import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { parseRetryAfter } from '../../../../src/registry/http/transport/retry-after.ts';

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

test('seconds and dates are read', () => {
  assert.equal(parseRetryAfter('0', NOW), 0);
  assert.equal(parseRetryAfter(' 120 ', NOW), 120_000);
  assert.equal(parseRetryAfter('Fri, 02 Jan 2026 03:04:35 GMT', NOW), 30_000);
  assert.equal(parseRetryAfter('Friday, 02-Jan-26 03:04:35 GMT', NOW), 30_000);
  assert.equal(parseRetryAfter('Thu, 01 Jan 2026 00:00:00 GMT', NOW), 0);
});

test('what is neither is as if it were absent', () => {
  for (const header of [undefined, '', '-1', '1.5', 'soon', 'Fri, nonsense']) assert.equal(parseRetryAfter(header, NOW), undefined, header);
});

test('whatever comes, a time or undefined is returned', () => {
  fc.assert(
    fc.property(fc.string(), (header) => {
      const pause = parseRetryAfter(header, NOW);
      return pause === undefined || pause >= 0;
    }),
  );
});
