/** Tests of the folder that an export writes. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ExportFolder } from '../../src/export/export-folder.ts';

const LIST = '.regindexer.json';
const HOUR = 3_600_000;

async function temporaryFolder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'regindexer-folder-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

/** Exports files with their paths as content. */
async function exportFiles(path: string, files: readonly string[], keep: number | 'failed' = HOUR) {
  const folder = await ExportFolder.open(path);
  for (const file of files) await folder.write(file, file);
  return folder.end(keep === 'failed' ? undefined : keep);
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

test('an export that failed removes nothing, and what it wrote is known', async (t) => {
  const path = await temporaryFolder(t);
  await exportFiles(path, ['one']);
  await exportFiles(path, ['two'], 'failed');
  assert.deepEqual(await listed(path), { one: null, two: null });
  assert.deepEqual(await exportFiles(path, ['two'], 0), { named: 1, written: 0, removed: 1 });
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
