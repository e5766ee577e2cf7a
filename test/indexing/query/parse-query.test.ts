/** Parsing of query strings. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseQuery, QueryError } from '../../../src/indexing/query/parse-query.ts';
import type { Condition } from '../../../src/indexing/query/query.ts';
import { flatpakQuery } from '../../../src/indexing/query/query.ts';

suite('is read as', () => {
  const spelled: Readonly<Record<string, readonly Condition[]>> = {
    '': [],
    '&&': [],
    'repository=apps%2Fone': [{ field: 'repository', operator: 'is', values: ['apps/one'] }],
    'repository=apps/one': [{ field: 'repository', operator: 'is', values: ['apps/one'] }],
    'tag=b&tag=a&tag=b': [{ field: 'tag', operator: 'is', values: ['a', 'b'] }],
    'tag:matches=v*&tag=latest': [
      { field: 'tag', operator: 'is', values: ['latest'] },
      { field: 'tag', operator: 'matches', values: ['v*'] },
    ],
    'tag%3Amatches=%3F': [{ field: 'tag', operator: 'matches', values: ['?'] }],
    'os=linux&architecture=amd64': [
      { field: 'architecture', operator: 'is', values: ['amd64'] },
      { field: 'os', operator: 'is', values: ['linux'] },
    ],
    'tag=': [{ field: 'tag', operator: 'is', values: [''] }],
    tag: [{ field: 'tag', operator: 'is', values: [''] }],
    'label:a=b=c': [{ field: 'label', key: 'a', operator: 'is', values: ['b=c'] }],
    'label:org.example.key=a+b%20c%2B': [
      { field: 'label', key: 'org.example.key', operator: 'is', values: ['a b c+'] },
    ],
    'label:key=': [{ field: 'label', key: 'key', operator: 'is', values: [''] }],
    'label:key:exists=1&label:key:exists=1': [{ field: 'label', key: 'key', operator: 'exists', values: ['1'] }],
    'annotation:key:matches=*': [{ field: 'annotation', key: 'key', operator: 'matches', values: ['*'] }],
    'annotation:a:b:c=x': [{ field: 'annotation', key: 'a:b:c', operator: 'is', values: ['x'] }],
    'annotation:a:b:exists=1': [{ field: 'annotation', key: 'a:b', operator: 'exists', values: ['1'] }],
    'label:a:exists:matches=x': [{ field: 'label', key: 'a:exists', operator: 'matches', values: ['x'] }],
    'label:exists=x': [{ field: 'label', key: 'exists', operator: 'is', values: ['x'] }],
    'label:matches=x': [{ field: 'label', key: 'matches', operator: 'is', values: ['x'] }],
    'label:tag=x': [{ field: 'label', key: 'tag', operator: 'is', values: ['x'] }],
    'label:__proto__=x': [{ field: 'label', key: '__proto__', operator: 'is', values: ['x'] }],
    'label:%F0%9F%8E%89%0A=%00': [{ field: 'label', key: '🎉\n', operator: 'is', values: ['\0'] }],
    // The same parameter in two spellings.
    'label%3Aa=1&label:a=2': [{ field: 'label', key: 'a', operator: 'is', values: ['1', '2'] }],
  };
  for (const [text, conditions] of Object.entries(spelled)) {
    test(JSON.stringify(text), () => {
      assert.deepEqual(parseQuery(text).conditions, conditions);
    });
  }
});

suite('is refused', () => {
  const refused: Readonly<Record<string, readonly [status: 400 | 414, message: RegExp]>> = {
    'colour=red': [
      400,
      /^The query parameter "colour" is not known\. Known are repository, tag, tag:matches, os, architecture, label:KEY, .*annotation:KEY:matches\.$/,
    ],
    '=x': [400, /parameter "" is not known/],
    'Tag=x': [400, /"Tag" is not known/],
    'tag:exists=1': [400, /"tag:exists" is not known/],
    'repository:matches=x': [400, /"repository:matches" is not known/],
    'label=x': [400, /"label" is not known/],
    'label:=x': [400, /"label:" is not known/],
    'label::exists=1': [400, /"label::exists" is not known/],
    'annotation::matches=x': [400, /"annotation::matches" is not known/],
    'label:key:exists=0': [400, /^"label:key:exists" only takes the value 1, not "0"\.$/],
    'label:key:exists': [400, /only takes the value 1, not ""/],
    'label:key:exists=1&label:key:exists=true': [400, /only takes the value 1, not "true"/],
    'tag=%': [400, /"%", which is not percent-encoded UTF-8/],
    'tag=%zz': [400, /not percent-encoded UTF-8/],
    'tag=%C3': [400, /not percent-encoded UTF-8/],
    'tag=%ED%A0%80': [400, /not percent-encoded UTF-8/],
    'label:%FF=x': [400, /not percent-encoded UTF-8/],
    [`${'x'.repeat(200)}=1`]: [400, /^The query parameter "x{80}…" is not known/],
    [Array.from({ length: 65 }, (_, number) => `tag=${number}`).join('&')]: [400, /has 65 parameters, more than 64/],
    [`tag=${'x'.repeat(8 * 1024 - 3)}`]: [414, /has 8193 characters, more than 8192/],
  };
  for (const [text, [statusCode, message]] of Object.entries(refused)) {
    test(JSON.stringify(text.slice(0, 40)), () => {
      assert.throws(
        () => parseQuery(text),
        (error) => error instanceof QueryError && error.statusCode === statusCode && message.test(error.message),
      );
    });
  }

  test('but 64 parameters and 8 KiB are not too much', () => {
    const parameters = Array.from({ length: 64 }, (_, number) => `tag=${number}`).join('&&');
    assert.equal(
      parseQuery(`${parameters}${'x'.repeat(8 * 1024 - parameters.length)}`).conditions[0]?.values.length,
      64,
    );
  });
});

suite('has one canonical spelling', () => {
  const spellings: readonly (readonly string[])[] = [
    ['tag=latest&architecture=amd64', 'architecture=amd64&tag=latest', '&tag=latest&&architecture=%61md64&tag=latest&'],
    ['label%3Aa%2Bb%3Aexists=1', 'label:a%2Bb:exists=1', 'label:a%2bb:exists=%31'],
    ['annotation:a=x+y&annotation:a=z', 'annotation%3Aa=z&annotation:a=x%20y'],
    ['tag', 'tag='],
    ['', '&'],
  ];
  for (const [first = '', ...others] of spellings) {
    test(JSON.stringify(first), () => {
      const query = parseQuery(first);
      for (const other of others) assert.deepEqual(parseQuery(other), query);
      assert.deepEqual(parseQuery(query.canonical), query);
    });
  }

  test('different questions have different ones', () => {
    const questions = [
      '',
      'tag=a',
      'tag=b',
      'tag=a&tag=b',
      'tag=a%26tag%3Db',
      'tag:matches=a',
      'label:tag=a',
      'annotation:tag=a',
      'label:a:exists=1',
      'label:a=1',
      'label:a%3Aexists%3A=1',
      'os=a',
      'tag=',
    ];
    assert.equal(new Set(questions.map((text) => parseQuery(text).canonical)).size, questions.length);
  });
});

test('Flatpak’s question is recognized as the one that is ready', () => {
  const asked = 'label%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=latest';
  assert.deepEqual(parseQuery(asked), flatpakQuery('latest', 'amd64'));
  assert.deepEqual(parseQuery(asked.replace('label', 'annotation')), flatpakQuery('latest', 'amd64', 'annotation'));
  assert.deepEqual(
    parseQuery('label%3Aorg.flatpak.ref%3Aexists=1&architecture=a+b&os=linux&tag=v1.0_x'),
    flatpakQuery('v1.0_x', 'a b'),
  );
});
