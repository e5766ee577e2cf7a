import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { parseChallenges } from '../../../../src/registry/http/transport/www-authenticate.ts';

function parse(header: string): [string, Record<string, string>][] {
  return parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
}

test('a Bearer challenge has its realm, service and scope', () => {
  assert.deepEqual(
    parse('Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push"'),
    [['bearer', { realm: 'https://auth.example/token', service: 'registry', scope: 'repository:a/b:pull,push' }]],
  );
});

test('names in any case, spaces, tokens and quoted pairs are read', () => {
  assert.deepEqual(parse('BEARER Realm = "a \\"quoted\\" \\\\ text" ,  SERVICE=registry'), [
    ['bearer', { realm: 'a "quoted" \\ text', service: 'registry' }],
  ]);
});

test('several challenges are told apart', () => {
  assert.deepEqual(parse('Negotiate, Basic realm="x", , Bearer realm="y",error="invalid_token"'), [
    ['negotiate', {}],
    ['basic', { realm: 'x' }],
    ['bearer', { realm: 'y', error: 'invalid_token' }],
  ]);
  assert.deepEqual(parse('Negotiate abc+/de==, Basic realm="x"'), [
    ['negotiate', {}],
    ['basic', { realm: 'x' }],
  ]);
});

test('an invalid challenge ends the list', () => {
  for (const header of ['', ',', '"', '=', 'realm="x"', '\u0000']) assert.deepEqual(parse(header), [], header);
  assert.deepEqual(parse('Basic realm="x" "y" Bearer'), [['basic', { realm: 'x' }]]);
});

test('whatever comes, a list is returned, and soon', () => {
  const parts = fc
    .array(fc.constantFrom('Bearer', 'realm', '=', '"', '\\', ',', ' ', 'x', '/', '\t'))
    .map((list) => list.join(''));
  fc.assert(fc.property(fc.oneof(fc.string(), parts), (header) => Array.isArray(parseChallenges(header))));
  for (const header of [
    'a '.repeat(8000),
    'a="'.repeat(5000),
    `a="${'\\'.repeat(16_000)}`,
    ','.repeat(16_000),
    'a'.repeat(16_000),
    `Bearer ${'a=b '.repeat(4000)}`,
  ]) {
    const started = performance.now();
    parseChallenges(header);
    assert.ok(performance.now() - started < 500);
  }
});
