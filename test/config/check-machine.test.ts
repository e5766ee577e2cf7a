import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ConfigError } from '../../src/config/problems.ts';
import { checkConfig, readConfig } from '../../src/config/read-config.ts';
import { INDEX, writeConfig } from './config-file.ts';

/**
 * What is wrong with the configuration on this machine, that is right by itself: `PLACE PATH: MESSAGE`. `/etc` stands
 * for its folder.
 */
async function faults(
  t: TestContext,
  text: string,
  prepare: (folder: string) => void = () => {},
): Promise<readonly string[]> {
  const file = writeConfig(t, text, { file: '' });
  prepare(dirname(file));
  readConfig(file, {});
  try {
    await checkConfig(file, {});
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ line, column, path, message }) =>
      `${line}:${column} ${path}: ${message}`.replaceAll(dirname(file), '/etc'),
    );
  }
}

test('a layout folder that is missing, or is not a folder', async (t) => {
  const text = 'indexes:\n  a: {registry: oci:nowhere}\n  b: {registry: oci:file}\n  c: {registry: oci:images}\n';
  assert.deepEqual(await faults(t, text, (folder) => mkdirSync(join(folder, 'images'))), [
    '2:17 indexes.a.registry: needs the folder "/etc/nowhere", which does not exist, expected a folder with OCI image layouts',
    '3:17 indexes.b.registry: needs the folder "/etc/file", which is not a folder, expected a folder with OCI image layouts',
  ]);
});

test('a folder of signatures that is not there', async (t) => {
  assert.deepEqual(await faults(t, 'indexes: {a: {registry: https://registry.example.org, signatures_dir: nowhere}}'), [
    '1:71 indexes.a.signatures_dir: needs the folder "/etc/nowhere", which does not exist, expected a folder with signatures',
  ]);
});

test('folders to write to that cannot be made', async (t) => {
  const text = `state_dir: /proc/state
icons_dir: file/icons
indexes:
  a: {registry: https://registry.example.org, extract_icons: true, output: link/x/a.json}
  b: {registry: https://registry.example.org, output: new/folder/b.json}
`;
  const found = await faults(t, text, (folder) => symlinkSync('nowhere', join(folder, 'link')));
  assert.deepEqual(found, [
    '1:12 state_dir: needs the folder "/proc/state", where nothing can be written: in /proc the system does not allow new files, expected a folder that this user may make or write to',
    '2:12 icons_dir: needs the folder "/etc/file/icons", where nothing can be written: /etc/file is not a folder, expected a folder that this user may make or write to',
    '4:76 indexes.a.output: needs the folder "/etc/link/x", where nothing can be written: /etc/link is a link that leads nowhere, expected a file in a folder that this user may make or write to',
  ]);
});

test('the default folders are told at the top, and icons only if there are any', async (t) => {
  const [state, ...others] = await faults(t, INDEX, (folder) => symlinkSync('nowhere', join(folder, 'state')));
  assert.match(
    state ?? '',
    /^1:1 state_dir: needs the folder "\/etc\/state", where nothing can be written: \/etc\/state is a link/,
  );
  assert.deepEqual(others, []);
});

test('a host that is not an address of this machine', async (t) => {
  for (const [host, fault] of [
    ['192.0.2.1', 'is not an address of this machine'],
    ['host.invalid', 'leads to no address'],
  ] as const) {
    assert.deepEqual(await faults(t, `${INDEX}server: {host: ${host}}`), [
      `2:16 server.host: is "${host}", which ${fault}, expected an address of this machine, 127.0.0.1 or 0.0.0.0`,
    ]);
  }
  for (const host of ['127.0.0.1', '0.0.0.0', 'localhost'])
    assert.deepEqual(await faults(t, `${INDEX}server: {host: ${host}, port: 0}`), []);
});

test('nothing is left behind', async (t) => {
  const file = writeConfig(t, `state_dir: new/state\n${INDEX}`);
  await checkConfig(file, {});
  assert.deepEqual(readdirSync(dirname(file)), ['config.yaml']);
  assert.ok(!existsSync(join(dirname(file), 'new')));
});
