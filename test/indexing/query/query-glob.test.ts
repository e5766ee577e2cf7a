/** Globs in questions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Glob, matches } from '../../../src/indexing/query/query-glob.ts';

const globMatches = (pattern: string, text: string): boolean => matches(new Glob(pattern), text);

test('a star stands for any characters, a question mark for one, and all else for itself', () => {
  const cases: readonly (readonly [pattern: string, matching: readonly string[], others: readonly string[]])[] = [
    ['', [''], ['a']],
    ['*', ['', 'a', 'a/b\nc'], []],
    ['?', ['a', '/', '\n', '🎉'], ['', 'ab']],
    ['a*c', ['ac', 'abc', 'a/b/c', 'acc'], ['ab', 'bac', 'acb']],
    ['*b*', ['b', 'abc'], ['ac', '']],
    ['a?c*', ['abc', 'a🎉cd'], ['ac', 'abbc']],
    ['**a**', ['a', 'xax'], ['']],
    ['*??', ['ab', 'abc', '🎉b'], ['a', '🎉', '']],
    ['[ab].{c}\\', ['[ab].{c}\\'], ['a.c']],
    ['ab*ab', ['abab', 'abxab'], ['ab', 'aba']],
    ['*aab', ['aaab', 'aab'], ['aaba']],
  ];
  for (const [pattern, matching, others] of cases) {
    for (const text of matching) assert.ok(globMatches(pattern, text), `${pattern} ${text}`);
    for (const text of others) assert.ok(!globMatches(pattern, text), `${pattern} ${text}`);
  }
});

test('it matches what the regular expression of the same meaning matches', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '🎉'), maxLength: 12 });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '🎉', '*', '?'), maxLength: 8 });
  fc.assert(
    fc.property(pattern, text, (glob, value) => {
      const expression = new RegExp(
        `^${glob.replaceAll('/', '\\/').replaceAll('*', '.*').replaceAll('?', '.')}$`,
        'su',
      );
      assert.equal(globMatches(glob, value), expression.test(value));
    }),
    { numRuns: 5000 },
  );
});

test('sixty-four stars over a value of 1 MiB are quick, where a regular expression would backtrack for ever', () => {
  const value = 'a'.repeat(1024 * 1024);
  assert.ok(!globMatches('*a'.repeat(64) + 'b', value));
  assert.ok(globMatches('*a'.repeat(64), value));
  assert.ok(!globMatches(`${'*aaaaaaaaaaaaaaaa'.repeat(64)}b`, value));
  assert.ok(!globMatches(`${'*?'.repeat(64)}b`, value));
});

test('question marks do not multiply the time, wherever they are', () => {
  const value = 'a'.repeat(4 * 1024 * 1024);
  const began = performance.now();
  assert.ok(!globMatches(`*${'?'.repeat(4000)}☃`, value));
  assert.ok(!globMatches(`*${'?'.repeat(4000)}☃*`, value));
  assert.ok(!globMatches(`*${'a?'.repeat(15)}☃*`, value));
  assert.ok(!globMatches(`*☃${'a'.repeat(4000)}*`, value));
  assert.ok(!globMatches(`*${'a'.repeat(4000)}☃*`, value));
  assert.ok(globMatches(`*${'a?'.repeat(40)}*`, value));
  // The product of the lengths would take minutes.
  assert.ok(performance.now() - began < 5_000);
});
