import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DURATION_BOUNDS, RequestFigures } from '../../src/server/request-figures.ts';

test('requests are counted by route, and by how long they took', () => {
  const figures = new RequestFigures();
  for (const seconds of [0, 0.001, 0.0011, 0.5, 10, 10.1, 100]) figures.count('/index/static', 'GET', 200, seconds);
  figures.count('/index/static', 'GET', 304, 0.002);
  figures.count('none', 'POST', 404, 0.002);
  assert.deepEqual([...figures.routes.keys()], ['/index/static', 'none']);
  const index = figures.routes.get('/index/static');
  assert.deepEqual(index?.answers, new Map([['GET 200', 7], ['GET 304', 1]]));
  assert.deepEqual(index.durations, [2, 2, 0, 0, 0, 0, 1, 0, 1, 2]);
  assert.equal(index.durations.length, DURATION_BOUNDS.length + 1);
  assert.ok(Math.abs(index.sum - 120.6041) < 1e-9);
  assert.deepEqual(figures.routes.get('none')?.answers, new Map([['POST 404', 1]]));
});
