/** Icon files on disk, and how long they are kept. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { IconFiles } from '../../../src/indexing/icons/icon-files.ts';
import type { IndexDefinition } from '../../../src/indexing/index-definition.ts';
import { digestOf } from '../../../src/registry/digest.ts';
import { png, pngPath, pngUri } from '../png.ts';
import { named, TestState } from '../test-state.ts';

const ICON = 'org.freedesktop.appstream.icon-64';
const HOUR = 3_600_000;

/** Opens a state that keeps files for an hour; `wait` advances the clock. */
async function openState(
  t: TestContext,
  definitions: readonly Partial<IndexDefinition>[] = [{}],
): Promise<{ state: TestState; wait: (milliseconds: number) => void }> {
  const state = await TestState.open(t, {
    definitions: definitions.map((definition) => ({ extractIcons: true, ...definition })),
    cleanFilesAfter: HOUR,
  });
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  return { state, wait: (milliseconds) => t.mock.timers.tick(milliseconds) };
}

function push(state: TestState, repository: string, icon: string, tag = 'latest'): void {
  state.registry.pushImage(repository, tag, named(repository, { [ICON]: pngUri(icon) }));
}

async function iconsOf(state: TestState): Promise<readonly string[]> {
  const names = await readdir(state.path('icons'), { recursive: true });
  return names.filter((name) => name.includes('/')).toSorted();
}

test('an icon that the index names stays, however old', async (t) => {
  const { state, wait } = await openState(t);
  push(state, 'app', 'icon');
  await state.rebuild();
  const before = await stat(state.path('icons', pngPath('icon')), { bigint: true });
  wait(1000 * HOUR);
  push(state, 'other', 'other');
  await state.rebuild();
  await state.reopen();
  await state.rebuild();
  // Reads its image again.
  await state.loseCatalog();
  await state.rebuild();
  assert.deepEqual(await iconsOf(state), [pngPath('icon'), pngPath('other')].toSorted());
  const after = await stat(state.path('icons', pngPath('icon')), { bigint: true });
  assert.deepEqual([after.ino, after.mtimeNs], [before.ino, before.mtimeNs]);
});

test('an unnamed icon is removed an hour later, at the next full rebuild, with its folder', async (t) => {
  const { state, wait } = await openState(t);
  push(state, 'app', 'old');
  await state.rebuild();
  wait(10 * HOUR);
  push(state, 'app', 'new');
  await state.rebuild();
  assert.deepEqual(await iconsOf(state), [pngPath('new'), pngPath('old')].toSorted());
  wait(HOUR - 1);
  await state.rebuild();
  assert.equal((await iconsOf(state)).length, 2);
  wait(1000);
  await state.rebuildTags('app', 'latest');
  assert.equal((await iconsOf(state)).length, 2);
  await state.rebuild();
  assert.deepEqual(await iconsOf(state), [pngPath('new')]);
  assert.deepEqual(await readdir(state.path('icons')), [pngPath('new').slice(0, 2)]);
});

test('an icon that is named again in time stays, and its hour restarts when it is unnamed again', async (t) => {
  const { state, wait } = await openState(t);
  for (const icon of ['one', 'two', 'one']) {
    push(state, 'app', icon);
    await state.rebuild();
    wait(0.9 * HOUR);
  }
  wait(HOUR);
  await state.rebuild();
  assert.deepEqual(await iconsOf(state), [pngPath('one')]);
  push(state, 'app', 'three');
  await state.rebuild();
  wait(0.9 * HOUR);
  await state.rebuild();
  assert.deepEqual(await iconsOf(state), [pngPath('one'), pngPath('three')].toSorted());
});

test('an icon stays as long as any index names it', async (t) => {
  const { state, wait } = await openState(t, [
    { name: 'latest', tags: ['latest'] },
    { name: 'beta', tags: ['beta'] },
  ]);
  for (const tag of ['latest', 'beta']) push(state, 'app', 'shared', tag);
  await state.rebuild();
  push(state, 'app', 'new', 'latest');
  await state.rebuild();
  wait(2 * HOUR);
  await state.rebuild();
  assert.deepEqual(await iconsOf(state), [pngPath('new'), pngPath('shared')].toSorted());
});

test('the icons of an index that is not configured any more stay for an hour, too', async (t) => {
  const { state, wait } = await openState(t, [
    { name: 'stays', tags: ['latest'] },
    { name: 'goes', tags: ['beta'] },
  ]);
  push(state, 'app', 'stays');
  push(state, 'app', 'goes', 'beta');
  await state.rebuild();
  wait(10 * HOUR);
  await state.reopen({ definitions: [{ name: 'stays', tags: ['latest'], extractIcons: true }] });
  await state.rebuild();
  assert.equal((await iconsOf(state)).length, 2);
  wait(2 * HOUR);
  await state.rebuild();
  assert.deepEqual(await iconsOf(state), [pngPath('stays')]);
});

test('icons stay while an index could not be built yet', async (t) => {
  const { state, wait } = await openState(t);
  push(state, 'app', 'icon');
  await state.rebuild();
  await state.store.publications.keepIndexes(new Set());
  await state.loseCatalog();
  wait(10 * HOUR);
  state.registry.fail({ method: 'repositories' });
  await state.rebuild();
  assert.deepEqual(await iconsOf(state), [pngPath('icon')]);
});

test('other files are left alone; temporary files of a crash are removed after an hour', async (t) => {
  const { state, wait } = await openState(t);
  push(state, 'app', 'icon');
  await state.rebuild();
  const foreign = [
    'readme.txt',
    'ab/icon.svg',
    `ab/${'0'.repeat(61)}.png`,
    `AB/${'0'.repeat(62)}.png`,
    `abc/${'0'.repeat(62)}.png`,
  ];
  const half = `${pngPath('half')}.0123456789ab.regindexer-tmp`;
  const old = new Date(0);
  for (const name of [...foreign, half]) {
    await mkdir(dirname(state.path('icons', name)), { recursive: true });
    await writeFile(state.path('icons', name), '');
    await utimes(state.path('icons', name), old, old);
  }
  wait(2 * HOUR);
  await state.rebuild();
  const names = (await readdir(state.path('icons'), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => `${parentPath}/${name}`);
  assert.deepEqual(names.toSorted(), [...foreign, pngPath('icon')].map((name) => state.path('icons', name)).toSorted());
});

test('removed icon files are written again by the next full rebuild, though nothing else is new', async (t) => {
  const { state } = await openState(t);
  push(state, 'app', 'icon');
  push(state, 'other', 'other');
  const {
    indexes: [before],
  } = await state.rebuild();
  await rm(state.path('icons', pngPath('icon')));
  const published: string[] = [];
  const {
    indexes: [after],
  } = await state.rebuild(
    { indexes: new Set(['apps']), repositories: new Map() },
    { onPublished: (index) => published.push(index) },
  );
  assert.deepEqual(
    [published, existsSync(state.path('icons', pngPath('icon')))],
    [[], false],
    'only full rebuilds look for them',
  );
  const {
    indexes: [full],
  } = await state.rebuild(undefined, { onPublished: (index) => published.push(index) });
  assert.deepEqual(await readFile(state.path('icons', pngPath('icon'))), png('icon'));
  assert.deepEqual([published, after?.changed, full?.changed, full?.bytes], [[], false, false, before?.bytes]);
  await state.rebuild(undefined, { onPublished: (index) => published.push(index) });
  assert.equal(published.length, 0);
});

test('removed icon files are written again at the next change, whether that has an icon or not', async (t) => {
  const { state } = await openState(t);
  push(state, 'app', 'icon');
  await state.rebuild();
  await rm(state.path('icons'), { recursive: true });
  push(state, 'other', 'other');
  await state.rebuild();
  assert.deepEqual(await readFile(state.path('icons', pngPath('icon'))), png('icon'));
  assert.deepEqual(await readFile(state.path('icons', pngPath('other'))), png('other'));
  await rm(state.path('icons'), { recursive: true });
  state.registry.pushImage('plain', 'latest', named('plain'));
  await state.rebuild();
  assert.deepEqual(await iconsOf(state), [pngPath('icon'), pngPath('other')].toSorted());
});

test('an icon that could not be written fails settled() for its path until it is written', async (t) => {
  const folder = (await TestState.open(t)).path('icons');
  const [bad, good] = [pngPath('bad'), pngPath('good')];
  await mkdir(folder);
  // A file in place of its folder.
  await writeFile(`${folder}/${bad.slice(0, 2)}`, '');
  const icons = new IconFiles(folder);
  const store = (content: string): string => icons.store(digestOf(png(content)), () => png(content));
  assert.equal(store('bad'), bad);
  icons.list();
  assert.equal(store('good'), good);
  await icons.settled([good]);
  await assert.rejects(icons.settled([good, bad]), (error: Error) =>
    error.message.startsWith(`an icon could not be written below ${folder}: `),
  );
  await rm(`${folder}/${bad.slice(0, 2)}`);
  store('bad');
  await icons.settled([good, bad]);
  assert.deepEqual(await readFile(`${folder}/${bad}`), png('bad'));
});

test('an icon that is still being written counts as present, and is not read again', async (t) => {
  const icons = new IconFiles((await TestState.open(t)).path('icons'));
  const path = icons.store(digestOf(png('icon')), () => png('icon'));
  icons.list();
  assert.equal(icons.lacks([path]), false);
  icons.store(digestOf(png('icon')), () => assert.fail('it was read again'));
  await icons.settled([path]);
});

test('icons are written also if their folder is removed after it was listed', async (t) => {
  const folder = (await TestState.open(t)).path('icons');
  const icons = new IconFiles(folder);
  const write = async (content: string): Promise<void> =>
    icons.settled([icons.store(digestOf(png(content)), () => png(content))]);
  await write('icon');
  icons.list();
  await rm(`${folder}/${pngPath('icon').slice(0, 2)}`, { recursive: true });
  // An icon of the same folder.
  let number = 0;
  while (pngPath(`other ${number}`).slice(0, 2) !== pngPath('icon').slice(0, 2)) number++;
  await write(`other ${number}`);
  assert.deepEqual(await readFile(`${folder}/${pngPath(`other ${number}`)}`), png(`other ${number}`));
});

test('the PNGs of new images are in the store while the registry is still being read, before their images', async (t) => {
  const { state } = await openState(t);
  const images = Array.from({ length: 300 }, (_, number) =>
    state.registry.pushImage(
      `app-${number}`,
      'latest',
      named('app', { [ICON]: pngUri(`icon ${number}`), filler: 'x'.repeat(5000) }),
    ),
  );
  const held = state.registry.hold({ method: 'tags', repository: 'app-299' });
  const rebuild = state.rebuild();
  await held.reached;
  const { catalog, publications } = state.store;
  while ((await catalog.images(state.registry.id, images)).size === 0)
    await setImmediate(undefined, { signal: t.signal });
  assert.deepEqual(await publications.missingPngs([...(await catalog.icons(state.registry.id)).keys()]), []);
  assert.ok(!existsSync(state.path('icons')), 'files are written when they are named');
  held.release();
  await rebuild;
  assert.equal((await iconsOf(state)).length, 300);
});

test('thousands of icons are written, each once, and equal ones are one', async (t) => {
  const { state } = await openState(t);
  for (let number = 0; number < 1000; number++) push(state, `app-${number}`, `icon ${number % 700}`);
  await state.rebuild();
  assert.equal((await iconsOf(state)).length, 700);
});
