import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sumOf, ThreadFigures } from '../../src/server/thread-figures.ts';

test('what several threads have counted is one', () => {
  const asked = [[{ registry: 'one', status: '200', count: 2 }, { registry: 'one', status: '404', count: 1 }], [{ registry: 'one', status: '200', count: 3 }]];
  const [first, second] = [new ThreadFigures(() => asked.shift() ?? []), new ThreadFigures()];
  first.requests.count('/a', 'GET', 200, 0.002);
  first.requests.count('/a', 'GET', 304, 0.002);
  second.requests.count('/a', 'GET', 200, 0.5);
  second.requests.count('/b', 'POST', 202, 0.5);
  first.counts();
  // Others get it as a message.
  const sum = sumOf([first.counts(), structuredClone(second.counts())]);
  assert.deepEqual(Array.from(sum.routes, ([route, { answers }]) => [route, ...answers]), [['/a', ['GET 200', 2], ['GET 304', 1]], ['/b', ['POST 202', 1]]]);
  assert.deepEqual(sum.routes.get('/a')?.durations, [0, 2, 0, 0, 0, 0, 1, 0, 0, 0]);
  assert.equal(sum.routes.get('/a')?.sum, 0.504);
  assert.deepEqual(sum.registryRequests, [{ registry: 'one', status: '200', count: 5 }, { registry: 'one', status: '404', count: 1 }]);
  assert.equal(first.requests.routes.get('/a')?.sum, 0.004, 'nothing of theirs is changed');
});
