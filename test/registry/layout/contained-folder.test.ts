import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { link, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { ContainedFolder } from '../../../src/registry/layout/contained-folder.ts';
import { RegistryError } from '../../../src/registry/registry-error.ts';
import { temporaryFolder } from './write-layout.ts';

test('a file that is exchanged for a link while it is read never leads out of the folder', async (t) => {
  const [outside, root] = [await temporaryFolder(t), await temporaryFolder(t)];
  await writeFile(join(outside, 'secret'), 'outside');
  const folder = new ContainedFolder(root);
  const over = new AbortController();
  const swap = async (): Promise<void> => {
    while (!over.signal.aborted) {
      await writeFile(join(root, 'file.new'), 'inside');
      await rename(join(root, 'file.new'), join(root, 'file'));
      await symlink(join(outside, 'secret'), join(root, 'link'));
      await rename(join(root, 'link'), join(root, 'file'));
    }
  };
  const swapping = swap();
  const read = new Map<string, number>();
  for (let time = 0; time < 1000; time++) {
    const text = await folder
      .read('file', 100)
      .then(String, (error: unknown) => (error instanceof RegistryError ? error.code : assert.fail(String(error))));
    read.set(text, (read.get(text) ?? 0) + 1);
  }
  over.abort();
  await swapping;
  assert.deepEqual(
    [...read.keys()].filter((text) => text !== 'inside' && text !== 'not-found'),
    [],
    JSON.stringify([...read]),
  );
});

test('anything but a file is not found, without waiting for a pipe', async (t) => {
  const root = await temporaryFolder(t);
  await mkdir(join(root, 'folder'));
  execFileSync('mkfifo', [join(root, 'pipe')]);
  const folder = new ContainedFolder(root);
  for (const path of ['folder', 'pipe', 'none', 'none/at/all'])
    await assert.rejects(folder.read(path, 100), { code: 'not-found' }, path);
});

test('a file is read up to the limit', async (t) => {
  const root = await temporaryFolder(t);
  await writeFile(join(root, 'file'), 'x'.repeat(100));
  await writeFile(join(root, 'empty'), '');
  await link(join(root, 'file'), join(root, 'same'));
  const folder = new ContainedFolder(root);
  assert.equal((await folder.read('same', 100)).length, 100);
  assert.equal((await folder.read('empty', 0)).length, 0);
  await assert.rejects(folder.read('file', 99), { code: 'too-large' });
});
