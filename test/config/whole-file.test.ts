import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { INDEX, configError, problemsOf, temporaryFolder, writeConfig } from './config-file.ts';

/** Ten anchors, each of which names the one before ten times. */
const LAUGHS = Array.from(
  { length: 10 },
  (_, n) =>
    `a${n}: &a${n} [${Array(10)
      .fill(n === 0 ? 'x' : `*a${n - 1}`)
      .join(', ')}]`,
).join('\n');

const FILES: readonly (readonly [name: string, content: string | Uint8Array, place: string, message: RegExp])[] = [
  ['an empty file', '', '1:1', /is empty, expected a configuration/],
  ['a file with comments alone', '# nothing\n\n', '1:1', /is empty, expected a configuration/],
  [
    'a binary file',
    new Uint8Array([0x7f, 0x45, 0x4c, 0x46, 0, 0]),
    '1:1',
    /is a binary file, expected a configuration file/,
  ],
  ['a file in another encoding', new Uint8Array([0x61, 0x3a, 0x20, 0xe4, 0x0a]), '1:1', /is not in UTF-8/],
  ['a file of more than 1 MiB', `${INDEX}#${'x'.repeat(1024 * 1024)}`, '1:1', /is larger than 1024 KiB/],
  ['a tab for indentation', 'indexes:\n\tall: {}\n', '2:1', /a tab is used for indentation, expected spaces/],
  ['several documents', `${INDEX}---\n${INDEX}`, '2:1', /a second document starts here, expected only one/],
  ['anchors that explode', `${LAUGHS}\n`, '2:10', /anchors used too often/],
  ['very many aliases', `a: &a x\nb: [${Array(1001).fill('*a').join(', ')}]\n`, '2:5', /anchors used too often/],
  ['brackets without end', `a: ${'['.repeat(20_000)}`, '', /nested too deeply/],
  ['a missing bracket', 'indexes: {all: {\nstate_dir: x', '2:1', /expected/],
  ['a missing quote', 'state_dir: "x\n', '2:1', /a colon, comma, quote or bracket is missing/],
  ['a missing colon', 'indexes:\n  all\n  other: {}\n', '2:3', /a key has several lines, expected "key: value"/],
  ['a colon too many', 'state_dir: a: b\n', '1:12', /expected text that holds ": " to stand in quotes/],
  [
    'a variable in brackets without quotes',
    'tags: [${TAG}, b]\n',
    '1:9',
    /and \$\{…\} inside \[ \] or \{ \}, to stand in quotes/,
  ],
  ['wrong indentation', 'indexes:\n    all: {}\n  other: {}\n', '3:1', /the indentation is wrong/],
  ['an unknown tag', `${INDEX}state_dir: !secret x\n`, '2:12', /a tag is not known here/],
  ['a reserved character', `${INDEX}state_dir: @x\n`, '2:12', /a character that YAML reserves/],
  ['an unknown escape', `${INDEX}state_dir: "\\q"\n`, '2:13', /an escape sequence is not known/],
  ['an unknown directive', `%FOO\n---\n${INDEX}`, '1:1', /a directive is not known/],
];

for (const [name, content, place, message] of FILES) {
  test(`${name} is one clear line`, (t) => {
    const file = writeConfig(t, content);
    const error = configError(file);
    assert.match(error.message, message);
    assert.ok(error.message.startsWith(`${file}:${place}`), error.message);
    assert.match(error.message, /^[^\n]+, expected [^\n]+$/);
  });
}

test('a file that is not there is one clear line, with its cause', (t) => {
  const file = join(temporaryFolder(t), 'nowhere.yaml');
  const error = configError(file);
  assert.equal(
    error.message,
    `${file}:1:1: does not exist, expected a configuration file (YAML): put one there, or name another with --config`,
  );
  assert.equal((error.cause as NodeJS.ErrnoException).code, 'ENOENT');
});

test('a folder is one clear line', (t) => {
  const folder = join(temporaryFolder(t), 'config.yaml');
  mkdirSync(folder);
  assert.equal(
    configError(folder).message,
    `${folder}:1:1: is a folder, expected a configuration file (YAML): put one there, or name another with --config`,
  );
});

test(
  'a file without permission is one clear line',
  { skip: process.getuid?.() === 0 && 'root may read everything' },
  (t) => {
    const file = writeConfig(t, INDEX);
    chmodSync(file, 0);
    assert.equal(
      configError(file).message,
      `${file}:1:1: may not be read by this user, expected a configuration file (YAML): put one there, or name another with --config`,
    );
  },
);

test('a device or a pipe that nobody writes to is one clear line, at once', (t) => {
  const pipe = join(temporaryFolder(t), 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const file of ['/dev/zero', '/dev/null', pipe]) {
    assert.equal(
      configError(file).message,
      `${file}:1:1: is a pipe or a device, not a regular file, expected a configuration file (YAML): put one there, or name another with --config`,
    );
  }
});

test('a pipe or a device that the configuration names is an error, at once', (t) => {
  const file = writeConfig(
    t,
    `${INDEX.replace('}}', ', gpg_key: pipe, output: pipe}}')}registries: {"https://registry.example.org": {auth_file: pipe, ca_file: pipe, client_cert: pipe, client_key: /dev/zero}}
server: {admin_token_file: pipe, events_token_file: /dev/zero, tls: {cert: pipe, key: pipe}}
bus: {ca_file: pipe, client_cert: pipe, client_key: pipe}
`,
  );
  execFileSync('mkfifo', [join(dirname(file), 'pipe')]);
  const problems = problemsOf(file);
  assert.equal(problems.length, 13);
  for (const { path, message } of problems)
    assert.match(message, /is a pipe or a device, not a regular file, expected/, path);
});
