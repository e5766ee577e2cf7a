import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import type { ImageConfig } from '../../src/registry/manifest.ts';
import { parseImageConfig } from '../../src/registry/parse-image-config.ts';
import { RegistryError } from '../../src/registry/registry-error.ts';

function parse(document: unknown): ImageConfig | undefined {
  return parseImageConfig(Buffer.from(JSON.stringify(document)));
}

test('an image config gives platform and labels', () => {
  assert.deepEqual(parse({ os: 'linux', architecture: 'arm64', config: { Labels: { a: 'b' } }, history: [] }), {
    os: 'linux',
    architecture: 'arm64',
    labels: { a: 'b' },
  });
});

test('labels and what holds them may be absent or null', () => {
  for (const config of [undefined, null, {}, { Labels: null }]) {
    assert.deepEqual(parse({ os: 'linux', architecture: 'amd64', config })?.labels, {});
  }
});

test('labels survive unchanged, whatever their keys and values', () => {
  const long = 'ü'.repeat(512 * 1024);
  const text = `{"os":"linux","architecture":"amd64","config":{"Labels":{"__proto__":"p","constructor":"c","🎉":"\\n","long":"${long}"}}}`;
  assert.deepEqual(Object.entries(parseImageConfig(Buffer.from(text))?.labels ?? {}), [
    ['__proto__', 'p'],
    ['constructor', 'c'],
    ['🎉', '\n'],
    ['long', long],
  ]);
});

test('a label that is null is empty', () => {
  const text = '{"os":"linux","architecture":"amd64","config":{"Labels":{"a":null,"__proto__":null,"b":"c"}}}';
  assert.deepEqual(Object.entries(parseImageConfig(Buffer.from(text))?.labels ?? {}), [
    ['a', ''],
    ['__proto__', ''],
    ['b', 'c'],
  ]);
});

test('a label that some clients cannot read unchanged is malformed, and named', () => {
  for (const bad of ['\ud800', 'a\udc00b', '\ud83d\ud83d', '\0', 'a\0b']) {
    const quoted = JSON.stringify(bad).replaceAll('\\', '\\\\');
    const labels: [RegExp, object][] = [
      [/^config\.Labels\["k"\]: expected Unicode text without NUL$/, { k: bad }],
      [new RegExp(`^the key of config\\.Labels\\[${quoted}\\]: expected Unicode text without NUL$`), { [bad]: 'v' }],
    ];
    for (const [message, Labels] of labels)
      assert.throws(() => parse({ os: 'linux', architecture: 'amd64', config: { Labels } }), {
        code: 'malformed',
        message,
      });
  }
});

test('a config without a platform does not describe an image', () => {
  for (const os of [undefined, null, '', 'unknown']) {
    assert.equal(parse({ os, architecture: 'amd64' }), undefined);
    assert.equal(parse({ os: 'linux', architecture: os }), undefined);
  }
  assert.equal(parse({}), undefined);
});

test('another shape is malformed and says where', () => {
  const cases: [RegExp, unknown][] = [
    [/JSON object/, 'text'],
    [/^os: /, { os: 1, architecture: 'amd64' }],
    [/^architecture: /, { os: 'linux', architecture: {} }],
    [/^architecture: /, { os: 'linux', architecture: 'lone \ud800' }],
    [/^os: .*at most 64 characters/, { os: 'x'.repeat(65), architecture: 'amd64' }],
    [/^architecture: .*at most 64 characters/, { os: 'linux', architecture: 'x'.repeat(65) }],
    [/^config: /, { os: 'linux', architecture: 'amd64', config: [] }],
    [/^config\.Labels: /, { os: 'linux', architecture: 'amd64', config: { Labels: 'x' } }],
    [/^architecture: /, { os: 'linux', architecture: 'amd64\0' }],
    [/config\.Labels\["k"\]/, { os: 'linux', architecture: 'amd64', config: { Labels: { k: 1 } } }],
  ];
  for (const [message, document] of cases) assert.throws(() => parse(document), { code: 'malformed', message });
});

test('any bytes give a config, undefined or a RegistryError', () => {
  const keys = fc.constantFrom('os', 'architecture', 'config', 'Labels', '__proto__');
  const any = fc.oneof(fc.constantFrom('linux', 'unknown', '', null), fc.jsonValue({ maxDepth: 1 }));
  const document = fc.dictionary(
    keys,
    fc.oneof(any, fc.dictionary(keys, fc.oneof(any, fc.dictionary(fc.string(), any)))),
  );
  const bytes = fc.oneof(
    document.map((value) => Buffer.from(JSON.stringify(value))),
    fc.uint8Array(),
  );
  fc.assert(
    fc.property(bytes, (input) => {
      try {
        const config = parseImageConfig(input);
        if (config !== undefined) assert.equal(typeof config.os, 'string');
      } catch (error) {
        assert.ok(error instanceof RegistryError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});
