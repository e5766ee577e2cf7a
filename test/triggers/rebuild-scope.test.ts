import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVERYTHING, type RebuildScope } from '../../src/indexing/rebuild.ts';
import { describeScope, mergeAllScopes, mergeScopes, EMPTY_SCOPE } from '../../src/triggers/rebuild-scope.ts';

const scope = (indexes: 'all' | string[], repositories: Record<string, 'all' | string[]> = {}): RebuildScope => ({
  indexes: indexes === 'all' ? 'all' : new Set(indexes),
  repositories: new Map(
    Object.entries(repositories).map(([name, tags]) => [name, tags === 'all' ? 'all' : new Set(tags)]),
  ),
});

test('merging takes the union of indexes, repositories and tags', () => {
  const merged = mergeScopes(
    scope(['a'], { hello: ['1'], clock: 'all' }),
    scope(['b'], { hello: ['2'], clock: ['1'], new: 'all' }),
  );
  assert.deepEqual(merged, scope(['a', 'b'], { hello: ['1', '2'], clock: 'all', new: 'all' }));
});

test('all absorbs single indexes and tags', () => {
  assert.deepEqual(
    mergeScopes(scope(['a'], { hello: ['1'] }), scope('all', { hello: 'all' })),
    scope('all', { hello: 'all' }),
  );
  assert.deepEqual(mergeScopes(EVERYTHING, scope(['a'])), EVERYTHING);
});

test('repositories stay named beside all indexes, since a list may lack them', () => {
  assert.deepEqual(mergeScopes(EVERYTHING, scope([], { unlisted: ['1'] })), scope('all', { unlisted: ['1'] }));
});

test('neither scope is changed by merging', () => {
  const a = scope(['a'], { hello: ['1'] });
  const b = scope(['b'], { hello: ['2'] });
  mergeScopes(a, b);
  assert.deepEqual([a, b], [scope(['a'], { hello: ['1'] }), scope(['b'], { hello: ['2'] })]);
});

test('a scope that includes the other is returned unchanged', () => {
  const wide = scope(['a', 'b'], { hello: 'all', clock: ['1', '2'] });
  assert.equal(mergeScopes(wide, scope(['a'], { hello: ['1'], clock: ['2'] })), wide);
});

test('losses are accepted if anybody accepts them', () => {
  const accepting = { ...scope(['a']), acceptLosses: true };
  assert.deepEqual(mergeScopes(EVERYTHING, accepting), { ...EVERYTHING, acceptLosses: true });
  assert.equal(mergeScopes(accepting, scope(['a'])), accepting);
  assert.deepEqual(describeScope(accepting), { indexes: ['a'], repositories: [], acceptLosses: true });
});

test('a scope is described as JSON', () => {
  assert.deepEqual(describeScope(EMPTY_SCOPE), { indexes: [], repositories: [] });
  assert.deepEqual(describeScope(EVERYTHING), { indexes: 'all', repositories: [] });
  assert.deepEqual(describeScope(scope(['a'], { hello: 'all', clock: ['1', '2'] })), {
    indexes: ['a'],
    repositories: ['hello', 'clock:1', 'clock:2'],
  });
});

test('a large scope is described in short', () => {
  const many = scope(
    [],
    Object.fromEntries(Array.from({ length: 1000 }, (_, number) => [`app-${number}`, ['1', '2']])),
  );
  const { repositories, more } = describeScope(many);
  assert.deepEqual([repositories.length, repositories[0], more], [20, 'app-0:1', 1980]);
});

test('many scopes are merged at once', () => {
  assert.deepEqual(mergeAllScopes([]), EMPTY_SCOPE);
  const many = Array.from({ length: 20_000 }, (_, i) =>
    scope([`index${i % 3}`], { [`app${i % 10_000}`]: [String(i)] }),
  );
  const { indexes, repositories } = mergeAllScopes(many);
  assert.deepEqual(indexes, new Set(['index0', 'index1', 'index2']));
  assert.equal(repositories.size, 10_000);
  assert.deepEqual(repositories.get('app7'), new Set(['7', '10007']));
});
