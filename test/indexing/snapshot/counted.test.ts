import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countShared } from '../../../src/indexing/snapshot/counted.ts';

test('shared memory is counted, once, and what is counted takes no memory', () => {
  const size = 256 * 1024 * 1024;
  const memory = new SharedArrayBuffer(size);
  const before = process.memoryUsage();
  assert.equal(countShared(countShared(memory)), memory);
  const after = process.memoryUsage();
  assert.ok(after.external - before.external > 0.9 * size && after.external - before.external < 1.5 * size, `${after.external - before.external} bytes more`);
  assert.ok(after.rss - before.rss < size / 8, `${after.rss - before.rss} bytes more`);
});
