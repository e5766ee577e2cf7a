import assert from 'node:assert/strict';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import test from 'node:test';
import { LayoutRegistrySource } from '../../../src/registry/layout/layout-registry-source.ts';
import { temporaryFolder, writeBlob, writeIndex, writeLayout } from './write-layout.ts';

async function repositoriesOf(source: LayoutRegistrySource): Promise<readonly string[]> {
  return (await Array.fromAsync(source.repositories())).flat();
}

test('each layout at any depth is a repository named by its path', async (t) => {
  const folder = await temporaryFolder(t);
  for (const path of ['b', 'a/deep/er', 'a/deep', 'c.d/e_f']) await writeLayout(join(folder, path));
  await mkdir(join(folder, 'empty'));
  await mkdir(join(folder, 'half'));
  await writeFile(join(folder, 'half', 'index.json'), '{}');
  const source = new LayoutRegistrySource(folder);
  assert.equal(source.id, `oci:${folder}`);
  assert.deepEqual(await repositoriesOf(source), ['a/deep', 'a/deep/er', 'b', 'c.d/e_f']);
});

test('a folder that is a layout itself is the repository of its name, beside those in it', async (t) => {
  const folder = join(await temporaryFolder(t), 'app');
  await writeLayout(folder, [{ tag: 'outer' }]);
  await writeLayout(join(folder, 'more'), [{ tag: 'inner' }]);
  const source = new LayoutRegistrySource(folder);
  assert.deepEqual(await repositoriesOf(source), ['app', 'more']);
  assert.deepEqual(await source.tags('app'), ['outer']);
  assert.deepEqual(await source.tags('more'), ['inner']);
});

test('blobs are not searched for layouts', async (t) => {
  const folder = await temporaryFolder(t);
  await writeLayout(join(folder, 'app'));
  await writeLayout(join(folder, 'app/blobs/sha256/x'));
  assert.deepEqual(await repositoriesOf(new LayoutRegistrySource(folder)), ['app']);
});

test('changes on disk are seen by the next call', async (t) => {
  const folder = await temporaryFolder(t);
  const source = new LayoutRegistrySource(folder);
  assert.deepEqual(await repositoriesOf(source), []);
  await writeLayout(join(folder, 'app'), [{ tag: 'one' }]);
  assert.deepEqual(await repositoriesOf(source), ['app']);
  assert.deepEqual(await source.tags('app'), ['one']);
  await writeLayout(join(folder, 'app'), [{ tag: 'two' }]);
  assert.deepEqual(await source.tags('app'), ['two']);
  await rm(join(folder, 'app'), { recursive: true });
  assert.deepEqual(await repositoriesOf(source), []);
  await assert.rejects(source.tags('app'), { code: 'not-found' });
});

test('a missing folder is unavailable, and so are its repositories', async (t) => {
  const folder = join(await temporaryFolder(t), 'missing');
  const source = new LayoutRegistrySource(folder);
  await assert.rejects(repositoriesOf(source), { code: 'unavailable', message: new RegExp(folder) });
  await assert.rejects(source.tags('app'), { code: 'unavailable' });
  await assert.rejects(source.manifest('app', 'latest'), { code: 'unavailable' });
});

test('a layout whose path is not a valid repository name gives a warning', async (t) => {
  const folder = await temporaryFolder(t);
  for (const path of ['My App', 'good']) await writeLayout(join(folder, path));
  await mkdir(join(folder, 'Not A Layout'));
  const source = new LayoutRegistrySource(folder);
  for (let time = 0; time < 2; time++) {
    assert.deepEqual(await repositoriesOf(source), ['good']);
    assert.deepEqual(source.warnings, [
      `${join(folder, 'My App')}: cannot name a repository; rename it to letters, digits and single . _ - between them`,
    ]);
  }
  await assert.rejects(source.tags('My App'), { code: 'not-found' });
  await assert.rejects(source.tags('my app'), { code: 'not-found' });
  await rename(join(folder, 'My App'), join(folder, 'My_App'));
  assert.deepEqual(await repositoriesOf(source), ['good', 'my_app']);
  assert.deepEqual(source.warnings, []);
});

test('capitals in a path are lower-cased where that is unique', async (t) => {
  const folder = await temporaryFolder(t);
  for (const path of ['net.bar.Hi', 'Deep/net.bar.App', 'Twice', 'tWice', 'Clock', 'clock', 'A/b', 'a/B', 'a/c'])
    await writeLayout(join(folder, path), [{ tag: path.replace('/', '-') }]);
  const source = new LayoutRegistrySource(folder);
  assert.deepEqual(await repositoriesOf(source), ['a/c', 'clock', 'deep/net.bar.app', 'net.bar.hi']);
  assert.deepEqual(source.warnings?.map((warning) => warning.slice(folder.length + 1)).toSorted(), [
    'A/b: would be the repository a/b, as would a/B: names of repositories are lower case; rename one of them',
    'Clock: would be the repository clock, as would clock: names of repositories are lower case; rename one of them',
    'Twice: would be the repository twice, as would tWice: names of repositories are lower case; rename one of them',
    'a/B: would be the repository a/b, as would A/b: names of repositories are lower case; rename one of them',
    'tWice: would be the repository twice, as would Twice: names of repositories are lower case; rename one of them',
  ]);
  for (const [repository, tag] of [
    ['a/c', 'a-c'],
    ['clock', 'clock'],
    ['deep/net.bar.app', 'Deep-net.bar.App'],
    ['net.bar.hi', 'net.bar.Hi'],
  ] as const)
    assert.deepEqual(await source.tags(repository), [tag]);
  for (const none of ['a/b', 'twice', 'net.bar.Hi', 'Deep/net.bar.App', 'net.bar'])
    await assert.rejects(source.tags(none), { code: 'not-found' }, none);
});

test('capitals in the name of the folder itself follow the same rule, and links that lead out do not count', async (t) => {
  const folder = join(await temporaryFolder(t), 'net.bar.Hi');
  await writeLayout(folder, [{ tag: 'outer' }]);
  const source = new LayoutRegistrySource(folder);
  assert.deepEqual(await repositoriesOf(source), ['net.bar.hi']);
  assert.deepEqual(await source.tags('net.bar.hi'), ['outer']);
  const outside = await temporaryFolder(t);
  await writeLayout(join(outside, 'Secret'));
  await symlink(outside, join(folder, 'Out'));
  await symlink(join(outside, 'Secret'), join(folder, 'Other'));
  for (const none of ['out/secret', 'other']) await assert.rejects(source.tags(none), { code: 'not-found' }, none);
});

test('symbolic links are followed if they stay in the folder', async (t) => {
  const outside = await temporaryFolder(t);
  await writeLayout(join(outside, 'secret'));
  const folder = await temporaryFolder(t);
  await writeLayout(join(folder, 'real'), [{ tag: 'one' }]);
  await symlink('real', join(folder, 'alias'));
  await symlink(outside, join(folder, 'out'));
  await symlink('nowhere', join(folder, 'broken'));
  await symlink('..', join(folder, 'real', 'up'));
  await symlink('self', join(folder, 'self'));
  const source = new LayoutRegistrySource(folder);
  assert.deepEqual(await repositoriesOf(source), ['alias', 'real']);
  assert.deepEqual(await source.tags('alias'), ['one']);
  for (const repository of ['out/secret', 'broken', 'self'])
    await assert.rejects(source.tags(repository), { code: 'not-found' });
});

test('folders that link to each other are each searched once', async (t) => {
  const folder = await temporaryFolder(t);
  const names = Array.from({ length: 12 }, (_, number) => `f${number}`);
  for (const name of names) {
    await writeLayout(join(folder, name, 'app'));
    for (const other of names) if (other !== name) await symlink(join('..', other), join(folder, name, other));
  }
  await symlink(join('f1', 'app'), join(folder, 'alias'));
  assert.deepEqual(await repositoriesOf(new LayoutRegistrySource(folder)), [
    'alias',
    ...names.map((name) => `${name}/app`).toSorted(),
  ]);
});

test('files that lead out of the folder count as missing', async (t) => {
  const outside = await temporaryFolder(t);
  await writeLayout(outside);
  const digest = await writeBlob(outside, 'secret');
  const folder = await temporaryFolder(t);
  await writeIndex(join(folder, 'blobs-out'), []);
  await symlink(join(outside, 'blobs'), join(folder, 'blobs-out', 'blobs'));
  await mkdir(join(folder, 'index-out'));
  for (const file of ['oci-layout', 'index.json']) await symlink(join(outside, file), join(folder, 'index-out', file));
  const source = new LayoutRegistrySource(folder);
  await assert.rejects(source.openBlob('blobs-out', digest), { code: 'not-found' });
  await assert.rejects(source.tags('index-out'), { code: 'not-found' });
});

test('names that climb out of the folder are not found', async (t) => {
  const folder = await temporaryFolder(t);
  await writeLayout(folder);
  await mkdir(join(folder, 'inner'));
  const source = new LayoutRegistrySource(join(folder, 'inner'));
  for (const name of ['..', '../inner', `../${basename(folder)}`, '.', '', 'a/../..', '/'])
    await assert.rejects(source.tags(name), { code: 'not-found' }, name);
});
