/** Tests of the folder that an export writes. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ExportFolder } from '../../src/export/export-folder.ts';
import { eventually } from '../e2e/eventually.ts';
import { cannotMount, SmallDisk } from '../peers/small-disk.ts';

const LIST = '.regindexer.json';
const JOURNAL = '.regindexer-journal';
const HOUR = 3_600_000;

async function temporaryFolder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'regindexer-folder-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

/** Exports files with their paths as content. */
async function exportFiles(path: string, files: readonly string[], keep: number = HOUR) {
  return (await beginExport(path, files)).end(keep);
}

/** Exports files as {@link exportFiles} does, up to the end: as if it failed, or were killed. */
async function beginExport(path: string, files: readonly string[]): Promise<ExportFolder> {
  const folder = await ExportFolder.open(path);
  for (const file of files) await folder.write(file, file);
  return folder;
}

async function listed(path: string): Promise<Record<string, number | null>> {
  return JSON.parse(await readFile(join(path, LIST), 'utf8')) as Record<string, number | null>;
}

test('a file goes only after it was named by no export for long enough', async (t) => {
  const path = await temporaryFolder(t);
  assert.deepEqual(await exportFiles(path, ['a/b/one', 'two']), { named: 2, written: 2, removed: 0 });
  const before = Date.now();
  assert.deepEqual(await exportFiles(path, ['two']), { named: 1, written: 0, removed: 0 });
  const { 'a/b/one': since } = await listed(path);
  assert.ok(typeof since === 'number' && since >= before && since <= Date.now());
  await exportFiles(path, ['two']);
  assert.equal((await listed(path))['a/b/one'], since, 'it counts from the first export that did not name it');

  await writeFile(join(path, LIST), JSON.stringify({ 'a/b/one': since - HOUR, two: null }));
  assert.deepEqual(await exportFiles(path, ['two']), { named: 1, written: 0, removed: 1 });
  assert.deepEqual((await readdir(path)).toSorted(), [LIST, 'two']);
  assert.deepEqual(await listed(path), { two: null });
});

test('a file that is named again stays', async (t) => {
  const path = await temporaryFolder(t);
  await exportFiles(path, ['one', 'two']);
  await writeFile(join(path, LIST), JSON.stringify({ one: 1, two: null }));
  const { mtimeMs } = await stat(join(path, 'one'));
  assert.deepEqual(await exportFiles(path, ['one', 'two']), { named: 2, written: 0, removed: 0 });
  assert.deepEqual(await listed(path), { one: null, two: null });
  assert.equal((await stat(join(path, 'one'))).mtimeMs, mtimeMs);
});

test('an export that did not end removes nothing, and what it wrote is known', async (t) => {
  const path = await temporaryFolder(t);
  await exportFiles(path, ['one', 'three']);
  await exportFiles(path, ['one']);
  for (const files of [['two', 'a/b/four'], ['five'], ['three']]) await beginExport(path, files);
  assert.deepEqual((await readdir(path)).toSorted(), [LIST, JOURNAL, 'a', 'five', 'one', 'three', 'two'].toSorted());
  const { named, written, removed } = await exportFiles(path, ['two'], 0);
  assert.deepEqual([named, written, removed], [1, 0, 4]);
  assert.deepEqual((await readdir(path)).toSorted(), [LIST, 'two']);
  assert.deepEqual(await listed(path), { two: null });
});

test('a path is recorded before its file is written, so that a file that is cut off is removed', async (t) => {
  const path = await temporaryFolder(t);
  await exportFiles(path, ['one']);
  const writing = Promise.withResolvers<void>();
  const folder = await ExportFolder.open(path);
  const written = folder.writeOnce('v2/blob', undefined, () => () => writing.promise);
  await eventually(async () => assert.equal((await readdir(join(path, 'v2'))).length, 1));
  // Whatever else is named alike is not the export's.
  const others = ['v2/other.0123456789ab1.regindexer-tmp', 'v2/blob.regindexer-tmp', 'mine.regindexer-tmp'];
  for (const other of others) await writeFile(join(path, other), 'kept');
  await ExportFolder.open(path);
  assert.deepEqual((await readdir(join(path, 'v2'))).toSorted(), ['blob.regindexer-tmp', basename(others[0] ?? '')]);
  writing.reject(new Error('killed'));
  await assert.rejects(written, /killed/);
  assert.deepEqual(await exportFiles(path, ['one'], 0), { named: 1, written: 0, removed: 1 });
  for (const other of others) assert.equal(await readFile(join(path, other), 'utf8'), 'kept');
});

test('a journal that was cut off, or that somebody has changed, does no harm', async (t) => {
  const path = await temporaryFolder(t);
  await mkdir(join(path, 'site'));
  await writeFile(join(path, 'outside'), 'kept');
  await exportFiles(join(path, 'site'), ['one', 'two']);
  await writeFile(join(path, 'site', JOURNAL), '"two"\n"../outside"\n7\nnot JSON\n"on');
  assert.deepEqual(await exportFiles(join(path, 'site'), [], 0), { named: 0, written: 0, removed: 2 });
  assert.equal(await readFile(join(path, 'outside'), 'utf8'), 'kept');
});

test('a list that somebody has changed does no harm', async (t) => {
  const path = await temporaryFolder(t);
  await mkdir(join(path, 'site'));
  await writeFile(join(path, 'outside'), 'kept');
  for (const text of [
    '{"../outside": 1, "/outside": 1, "a/../../outside": 1}',
    'not JSON',
    '[1]',
    'null',
    '{"a": {}}',
  ]) {
    await writeFile(join(path, 'site', LIST), text);
    await exportFiles(join(path, 'site'), ['one'], 0);
    assert.equal(await readFile(join(path, 'outside'), 'utf8'), 'kept', text);
  }
});

test('the first export does not replace the pages of another site', async (t) => {
  const path = await temporaryFolder(t);
  await writeFile(join(path, 'CNAME'), 'apps.example.org');
  await writeFile(join(path, 'index.html'), 'by hand');
  for (let attempt = 1; attempt <= 2; attempt++)
    await assert.rejects(exportFiles(path, ['index.html']), {
      name: 'ExportError',
      message: `${join(path, 'index.html')} was not written by an export, and would be replaced; move it, or name another folder`,
    });
  assert.equal(await readFile(join(path, 'index.html'), 'utf8'), 'by hand');
  assert.deepEqual((await readdir(path)).toSorted(), ['CNAME', 'index.html']);

  await rm(join(path, 'index.html'));
  // As if the first export were killed.
  await (await ExportFolder.open(path)).write('index.html', 'exported');
  assert.deepEqual(await exportFiles(path, ['index.html']), { named: 1, written: 1, removed: 0 });
  assert.equal(await readFile(join(path, 'CNAME'), 'utf8'), 'apps.example.org');
});

test('a full disk is told with what to do, and leaves what is there', { skip: cannotMount() }, async (t) => {
  const disk = await SmallDisk.mount(join(await temporaryFolder(t), 'disk'));
  try {
    const site = join(disk.path, 'site');
    await exportFiles(site, ['one']);
    disk.fill();
    await assert.rejects(exportFiles(site, ['two']), /could not be written: ENOSPC: .*; make room on that disk$/);
    disk.free();
    assert.deepEqual(await exportFiles(site, ['one', 'two']), { named: 2, written: 1, removed: 0 });
  } finally {
    disk.unmount();
  }
});
