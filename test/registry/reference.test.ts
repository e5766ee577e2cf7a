import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { isRepositoryName, isTag } from '../../src/registry/reference.ts';

test('repositories are named by the grammar of the specification', () => {
  for (const name of ['a', 'apps/hello', 'a/b/c/d', 'a.b', 'a_b', 'a__b', 'a-b', 'a---b', '0/1', 'x'.repeat(255)])
    assert.ok(isRepositoryName(name), name);
  const wrong = [
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    'A',
    'a b',
    'a..b',
    'a___b',
    '-a',
    'a-',
    '.a',
    'a/.',
    '../a',
    'a/../b',
    'a?b',
    'a#b',
    'a%2fb',
    'a:b',
    'a@b',
    'ä',
    'a\n',
    'x'.repeat(256),
    7,
    null,
    undefined,
    ['a'],
  ];
  for (const name of wrong) assert.ok(!isRepositoryName(name), String(name));
});

test('tags are named by the grammar of the specification', () => {
  for (const tag of ['a', 'A', '_', '0', 'v1.2.3-rc_1', 'x'.repeat(128)]) assert.ok(isTag(tag), tag);
  for (const tag of ['', '.a', '-a', 'a/b', 'a:b', 'a b', 'a\n', 'ä', 'x'.repeat(129), 7, null, undefined])
    assert.ok(!isTag(tag), String(tag));
});

test('whatever comes, a name is one or none, and soon; one can be part of a path as it is', () => {
  const text = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom('a', '-', '_', '.', '/', '..', '%', '?', '\n', 'A')).map((parts) => parts.join('')),
    fc.anything(),
  );
  fc.assert(
    fc.property(text, (name) => {
      if (isRepositoryName(name))
        assert.equal(new URL(`http://registry/v2/${name}/tags/list`).pathname, `/v2/${name}/tags/list`);
      if (isTag(name))
        assert.equal(new URL(`http://registry/v2/a/manifests/${name}`).pathname, `/v2/a/manifests/${name}`);
    }),
  );
  for (const long of [
    'a-'.repeat(500_000),
    '-'.repeat(1_000_000),
    'a/'.repeat(500_000),
    `${'a'.repeat(254)}-`,
    `${'a-'.repeat(127)}!`,
  ]) {
    const started = performance.now();
    assert.ok(!isRepositoryName(long) && !isTag(long));
    assert.ok(performance.now() - started < 500);
  }
});
