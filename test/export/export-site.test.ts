/** Tests of what an export asks the server for. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { exportSite, type ExportOptions } from '../../src/export/export-site.ts';
import type { KeptPicture } from '../../src/indexing/screenshots/screenshots.ts';
import { digestOf } from '../../src/registry/digest.ts';
import { PublicationLoader } from '../../src/server/documents/publication-loader.ts';
import { ServedIndex } from '../../src/server/documents/served-index.ts';
import { Figures } from '../../src/server/figures.ts';
import { Server } from '../../src/server/server.ts';
import { TestState } from '../indexing/test-state.ts';
import { memoryLog, TestServer } from '../server/test-server.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';

const BASE_URL = 'https://owner.github.io/repo';
const APPS = '.regindexer-apps.json';
/** Enough for several chunks. */
const COUNT = 120;
/** The header of a picture of one pixel. */
const PNG = Buffer.from('89504e470d0a1a0a0000000d4948445200000001000000010806000000', 'hex').toString('latin1');
const INDEX = { name: 'apps', fileName: 'apps', maxAge: 60, repositoryPriority: [] } as const;

/** A site of {@link COUNT} apps, that is exported into a folder. */
async function openSite(t: TestContext) {
  const state = await TestState.open(t);
  const push = (number: number, summary = '', tag = 'latest'): void => {
    const appdata = `<screenshots><screenshot><image>${pictureOf(number)}</image></screenshot></screenshots>`;
    const labels = flatpakLabels({ id: idOf(number), summary, appdata });
    state.registry.pushImage(`apps/${number}`, tag, { labels });
  };
  /** Pictures that are served. */
  const pictures: Record<string, KeptPicture> = {};
  /** Serves a picture of an app from now on, in place of the one before. */
  const keepPicture = async (number: number, name: string): Promise<void> => {
    const content = `${PNG}${name}`;
    const digest = digestOf(Buffer.from(content, 'latin1'));
    const blob = { kind: 'screenshot', digest } as const;
    await state.store.blobs.putPiece(blob, 0, Buffer.from(content, 'latin1'), Date.now());
    await state.store.blobs.complete(blob, content.length);
    pictures[pictureOf(number)] = { digest, type: 'png', width: 1, height: 1 };
  };
  for (let number = 0; number < COUNT; number++) push(number);
  const { site } = await TestServer.create(t, state);
  const folder = await mkdtemp(join(tmpdir(), 'regindexer-site-'));
  t.after(() => rm(folder, { recursive: true }));
  /** Rebuilds and exports; returns the apps whose `.flatpakref` was asked for, and how many files were written. */
  const exported = async (options: Partial<ExportOptions> = {}) => {
    await state.rebuild();
    const index = new ServedIndex({
      ...INDEX,
      screenshots: 'proxy',
      // Another object each time, since it is kept while the list of pictures has the same digest.
      readPictures: async () => ({ ...pictures }),
    });
    const loader = new PublicationLoader(state.store.publications);
    await state.indexer.settled();
    if (await loader.load(index)) await loader.loadApps(index);
    const asked: string[] = [];
    const { written } = await exportSite({
      site: {
        ...site,
        indexes: new Map([['apps', index]]),
        basePath: '/repo',
        description: {
          baseUrl: BASE_URL,
          indexes: [{ name: 'apps', title: 'Our apps', remoteName: 'apps', signatures: false }],
        },
      },
      baseUrl: BASE_URL,
      indexes: [{ ...INDEX, screenshots: 'proxy', registry: undefined, images: undefined }],
      tag: 'latest',
      folder,
      cleanFilesAfter: 86_400_000,
      program: 'this one',
      createServer: async (its) => {
        const server = await Server.create(
          { logger: memoryLog().logger, figures: new Figures(), version: '1.2.3', startedAt: 0, tls: undefined },
          its,
        );
        const inject = server.fastify.inject.bind(server.fastify) as (url: string) => unknown;
        Reflect.set(server.fastify, 'inject', (url: string) => {
          asked.push(url);
          return inject(url);
        });
        return server;
      },
      onProgress: () => undefined,
      signal: t.signal,
      ...options,
    });
    const apps = asked.flatMap((url) => /^\/apps\/(.*)\.flatpakref/.exec(url)?.[1] ?? []);
    return { apps: apps.toSorted(), asked: asked.length, written };
  };
  /** The apps that are in one chunk with an app. */
  const besides = async (number: number): Promise<readonly string[]> => {
    const { chunks } = await state.shown();
    return chunks.find(({ appIds }) => appIds.includes(idOf(number)))?.appIds ?? [];
  };
  return { state, push, keepPicture, exported, besides, folder };
}

function pictureOf(number: number): string {
  return `https://pictures.example.org/${number}.png`;
}

function idOf(number: number): string {
  return `org.example.App${number}`;
}

test('an export after one push asks for the apps of one chunk, however many there are', async (t) => {
  const { push, exported, besides, folder } = await openSite(t);
  assert.equal((await exported()).apps.length, COUNT);
  const again = await exported();
  assert.deepEqual([again.apps, again.written], [[], 0]);

  push(7, 'New');
  const its = await besides(7);
  assert.ok(its.length < COUNT / 2);
  const { apps, asked, written } = await exported();
  assert.deepEqual(apps, its);
  // Its page, and its file that installs.
  assert.equal(asked, again.asked + 2 * its.length);
  // Its own, the lists and the documents.
  assert.ok(written < COUNT / 4, String(written));
  assert.match(await readFile(join(folder, 'api/apps/apps.json'), 'utf8'), /"summary":"New"/);
  assert.match(await readFile(join(folder, `api/apps/apps/${idOf(7)}.json`), 'utf8'), /"summary":"New"/);

  // What has another tag alone changes no app, from the second time on, nor says that one has changed.
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  push(8, 'Not yet', 'beta');
  await exported();
  const list = await readFile(join(folder, 'api/apps/apps.json'), 'utf8');
  t.mock.timers.tick(60_000);
  push(8, 'Nearly', 'beta');
  assert.deepEqual((await exported()).apps, []);
  assert.equal(await readFile(join(folder, 'api/apps/apps.json'), 'utf8'), list);
});

test('a new app is asked for, and one that is gone is forgotten', async (t) => {
  const { state, push, exported, besides, folder } = await openSite(t);
  await exported();
  push(COUNT);
  const { apps } = await exported();
  assert.ok(apps.includes(idOf(COUNT)));
  assert.ok(apps.length <= (await besides(COUNT)).length * 2, 'a cut may have moved');
  state.registry.deleteRepository('apps/3', { stays: true });
  await exported();
  assert.doesNotMatch(await readFile(join(folder, APPS), 'utf8'), /"org\.example\.App3"/);
});

test('all apps are asked for where what is remembered may not be so any more', async (t) => {
  const { exported, folder } = await openSite(t);
  await exported();
  for (const changed of [{ program: 'another one' }, { baseUrl: 'https://apps.example.org' }]) {
    assert.equal((await exported(changed)).apps.length, COUNT);
    assert.equal((await exported(changed)).apps.length, 0);
  }
  await exported();
  for (const text of ['not JSON', '[]', '{"apps": {}}', '{"apps": {"a": {"files": {"../a": 1}}}}', '{"apps": null}']) {
    await writeFile(join(folder, APPS), text);
    assert.equal((await exported()).apps.length, COUNT, text);
  }
});

test('an app is asked for when another picture of it is served', async (t) => {
  const { keepPicture, exported, folder } = await openSite(t);
  await exported();
  await keepPicture(5, 'one');
  assert.deepEqual((await exported()).apps, [idOf(5)]);
  await keepPicture(5, 'two');
  await keepPicture(6, 'two');
  assert.deepEqual((await exported()).apps, [5, 6].map(idOf));
  const [, path = ''] =
    /"src":"\.\.\/\.\.\/([^"]+)"/.exec(await readFile(join(folder, `api/apps/apps/${idOf(6)}.json`), 'utf8')) ?? [];
  assert.equal(await readFile(join(folder, path), 'latin1'), `${PNG}two`);
  assert.deepEqual((await exported()).apps, []);
});

test('an app is asked for if one of its files is missing, damaged, or left behind by an export that did not end', async (t) => {
  const { exported, folder } = await openSite(t);
  await exported();
  await rm(join(folder, `api/apps/apps/${idOf(1)}.json`));
  await truncate(join(folder, `apps/${idOf(2)}.flatpakref`), 10);
  // As that export left it; what it wrote has the same size.
  const ref = `apps/${idOf(3)}.flatpakref`;
  const text = await readFile(join(folder, ref), 'utf8');
  await writeFile(join(folder, ref), text.replace('stable', 'unstab'));
  await writeFile(join(folder, '.regindexer-journal'), `${JSON.stringify(ref)}\n`);
  assert.deepEqual((await exported()).apps, [1, 2, 3].map(idOf));
  assert.equal(await readFile(join(folder, ref), 'utf8'), text);
  await assert.rejects(stat(join(folder, '.regindexer-journal')), { code: 'ENOENT' });
  assert.deepEqual((await exported()).apps, []);
});
