import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { configKeys } from '../src/config/config-keys.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

test('the README lists every key of the configuration as the schema has it', () => {
  const table = ['| key | default | meaning |', '| --- | --- | --- |', ...configKeys().map(({ path, default: preset, description }) => `| \`${path}\` | ${preset} | ${description} |`)].join('\n');
  const [, listed] = /<!-- keys -->\n([^]*)<!-- \/keys -->/.exec(readme) ?? [];
  assert.equal(listed?.trim(), table);
});

test('the README opens with the two commands', () => {
  const [first, second] = readme.match(/^ {4}.+$/gm) ?? [];
  assert.match(first ?? '', /^ {4}npm ci && npm start /);
  assert.match(second ?? '', /^ {4}npm ci && npm test /);
});
