import assert from 'node:assert/strict';
import { test } from 'node:test';
import { replaceVariables } from '../../src/config/replace-variables.ts';

const ENVIRONMENT = { HOST: 'registry.example.org', EMPTY: '', NESTED: '${HOST}', _x1: 'y' };

const TEXTS: readonly (readonly [string, string])[] = [
  ['plain', 'plain'],
  ['https://${HOST}/', 'https://registry.example.org/'],
  ['${HOST}${HOST}', 'registry.example.orgregistry.example.org'],
  ['${_x1}', 'y'],
  ['${HOST:other}', 'registry.example.org'],
  ['${UNSET:https://a:5000/b?c}', 'https://a:5000/b?c'],
  ['${UNSET:}', ''],
  ['${EMPTY:other}', ''],
  ['${NESTED}', '${HOST}'],
  ['$${HOST}', '${HOST}'],
  ['$$${HOST}', '$${HOST}'],
  ['a$b $HOST {HOST} $', 'a$b $HOST {HOST} $'],
];

for (const [written, text] of TEXTS) {
  test(`${written} becomes ${JSON.stringify(text)}`, () => {
    assert.deepEqual(replaceVariables(written, ENVIRONMENT), { text, faults: [] });
  });
}

const FAULTS: readonly (readonly [string, readonly (readonly [number, RegExp])[]])[] = [
  ['${UNSET}', [[0, /environment variable UNSET, which is not set, expected it or \$\{UNSET:default\}/]]],
  [
    '$${A} ${HOST} ${A} ${B}',
    [
      [2, / A,/],
      [3, / B,/],
    ],
  ],
  ['${toString}', [[0, / toString,/]]],
  ['${HOST', [[0, /does not start a variable/]]],
  ['${}', [[0, /does not start a variable/]]],
  ['${A-b}', [[0, /does not start a variable/]]],
  ['${A:${HOST}}', [[0, /does not start a variable/]]],
];

for (const [written, expected] of FAULTS) {
  test(`${written} is refused`, () => {
    const { faults } = replaceVariables(written, ENVIRONMENT);
    assert.deepEqual(
      faults.map(({ ordinal }) => ordinal),
      expected.map(([ordinal]) => ordinal),
    );
    for (const [position, [, message]] of expected.entries()) assert.match(faults[position]?.message ?? '', message);
  });
}
