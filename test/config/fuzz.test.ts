import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { stringify } from 'yaml';
import { ConfigError } from '../../src/config/problems.ts';
import { configKeys } from '../../src/config/config-keys.ts';
import { describeConfig } from '../../src/config/describe-config.ts';
import { readConfig } from '../../src/config/read-config.ts';
import { temporaryFolder } from './config-file.ts';

const SAMPLE = readFileSync(new URL('../../config.yaml', import.meta.url), 'utf8');
const SAMPLE_WITH_ALL_KEYS = SAMPLE.replaceAll(/^( *)#(?=\w|  )/gm, '$1');

const NAMES = [...new Set(configKeys().flatMap(({ path }) => path.split(/\[\]\.|\./)))];

const TEXTS = [
  '',
  '1h',
  '*',
  'any',
  '\0',
  '${HOME}',
  '${X:1}',
  '${',
  'oci:x',
  'https://registry.example.org',
  'stomp://a:b@c',
  'amqps://a:b@c',
];

/** Mappings with known and unknown keys, and values of every kind. */
const { mapping } = fc.letrec((tie) => ({
  mapping: fc.dictionary(fc.oneof(fc.constantFrom(...NAMES), fc.string()), tie('value'), {
    maxKeys: 8,
    noNullPrototype: true,
  }),
  value: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    fc.constantFrom(null, true, 0, 8080, ...TEXTS),
    fc.string(),
    fc.double(),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('mapping'),
  ),
}));

/** A right configuration with some of its characters changed. */
const damaged = fc
  .tuple(
    fc.constantFrom(SAMPLE, SAMPLE_WITH_ALL_KEYS),
    fc.array(
      fc.record({
        at: fc.nat(SAMPLE_WITH_ALL_KEYS.length),
        length: fc.nat(20),
        insert: fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom(':', '\n', '\t', '"', '&a', '*a', '<<: ')),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  )
  .map(([sample, changes]) =>
    changes.reduce((text, { at, length, insert }) => text.slice(0, at) + insert + text.slice(at + length), sample),
  );

for (const [name, texts] of [
  ['any text', fc.string({ unit: 'binary', maxLength: 200 })],
  ['any mapping', mapping.map((value) => stringify(value))],
  ['a damaged configuration', damaged],
] as const) {
  test(`${name} is read, or refused with problems that have a place`, (t) => {
    const file = join(temporaryFolder(t), 'config.yaml');
    fc.assert(
      fc.property(texts, (text) => {
        writeFileSync(file, text);
        try {
          assert.ok(describeConfig(readConfig(file, { HOME: '/root' })).startsWith('Configuration '));
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
          const lines = text.split('\n').length;
          assert.ok(error.problems.length > 0);
          assert.equal(error.message.split('\n').length, error.problems.length);
          for (const { line, column } of error.problems)
            assert.ok(line >= 1 && line <= lines && column >= 1, error.message);
        }
      }),
      { numRuns: 200 },
    );
  });
}
