/** The files that indexes are written to. */
import assert from 'node:assert/strict';
import { mkdir, open, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { named, TestState } from './test-state.ts';

async function openState(t: TestContext): Promise<{ state: TestState; output: string }> {
  const state = await TestState.open(t);
  const output = state.path('public', 'index', 'apps.json');
  await state.reopen({ definitions: [{ output }] });
  state.registry.pushImage('app', 'latest', named('app'));
  await state.rebuild();
  return { state, output };
}

test('the file is the whole index, in a folder that is created for it, readable by web servers', async (t) => {
  const { state, output } = await openState(t);
  assert.equal(await state.outputText(output), await state.text());
  assert.equal((await stat(output)).mode & 0o777, 0o644 & ~process.umask());
  assert.deepEqual(await readdir(dirname(output)), ['apps.json']);
});

test('a change is written to another file and renamed, so that readers of the old file are not disturbed', async (t) => {
  const { state, output } = await openState(t);
  const before = await state.outputText(output);
  const { ino } = await stat(output);
  await using reader = await open(output);
  state.registry.pushImage('other', 'latest', named('other'));
  await state.rebuild();
  assert.notEqual((await stat(output)).ino, ino);
  assert.equal(await reader.readFile('utf8'), before);
  assert.equal(await state.outputText(output), await state.text());
  assert.deepEqual(await readdir(dirname(output)), ['apps.json']);
});

test('an unchanged one is left alone, with its time', async (t) => {
  const { state, output } = await openState(t);
  await utimes(output, new Date(0), new Date(0));
  await state.rebuild();
  await state.reopen();
  await state.rebuild();
  await state.refresh();
  assert.equal((await stat(output)).mtimeMs, 0);
});

test('one that was removed, changed, cut off or emptied is written again', async (t) => {
  const { state, output } = await openState(t);
  const text = await state.text();
  const harms: readonly (() => Promise<void>)[] = [
    () => rm(output),
    () => rm(dirname(output), { recursive: true }),
    () => writeFile(output, text.replace('latest', 'lAtest')),
    () => writeFile(output, text.slice(1)),
    () => writeFile(output, ''),
  ];
  for (const harm of harms) {
    await harm();
    assert.equal((await state.rebuild()).indexes[0]?.changed, false);
    assert.equal(await state.outputText(output), text);
  }
});

test('one that equals the index is adopted as it is', async (t) => {
  const { state, output } = await openState(t);
  const moved = state.path('moved.json');
  await writeFile(moved, await readFile(output));
  await utimes(moved, new Date(0), new Date(0));
  await state.reopen({ definitions: [{ output: moved }] });
  await state.refresh();
  assert.equal((await stat(moved)).mtimeMs, 0);
});

test('one that cannot be written is reported, and the index is served all the same', async (t) => {
  const { state, output } = await openState(t);
  await rm(output);
  await mkdir(output);
  state.registry.pushImage('other', 'latest', named('other'));
  const { indexes } = await state.rebuild();
  assert.equal(indexes[0]?.changed, true);
  assert.match(indexes[0]?.error ?? '', /apps\.json/);
  assert.equal((await state.json()).Results.length, 2);
  assert.deepEqual(await readdir(dirname(output)), ['apps.json']);

  await rm(output, { recursive: true });
  assert.equal((await state.rebuild()).indexes[0]?.error, undefined);
  assert.equal(await state.outputText(output), await state.text());
});

test('temporary files of a crash are removed when the state is opened; other files in the folder stay', async (t) => {
  const { state, output } = await openState(t);
  await writeFile(`${output}.0123456789ab.regindexer-tmp`, 'half');
  await writeFile(`${dirname(output)}/other.json.0123456789ab.regindexer-tmp`, 'of another program');
  await writeFile(`${output}.backup`, 'mine');
  await state.reopen();
  assert.deepEqual((await readdir(dirname(output))).toSorted(), [
    'apps.json',
    'apps.json.backup',
    'other.json.0123456789ab.regindexer-tmp',
  ]);
});
