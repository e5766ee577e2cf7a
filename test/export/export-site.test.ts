/** Tests of what an export asks the server for. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { exportSite, type ExportOptions } from '../../src/export/export-site.ts';
import { Figures } from '../../src/server/figures.ts';
import { Server } from '../../src/server/server.ts';
import { TestState } from '../indexing/test-state.ts';
import { memoryLog, TestServer } from '../server/test-server.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';

const BASE_URL = 'https://owner.github.io/repo';
const APPS = '.regindexer-apps.json';
/** Enough for several chunks. */
const COUNT = 120;

/** A site of {@link COUNT} apps, that is exported into a folder. */
async function openSite(t: TestContext) {
  const state = await TestState.open(t);
  const push = (number: number, summary = '', tag = 'latest'): void =>
    void state.registry.pushImage(`apps/${number}`, tag, { labels: flatpakLabels({ id: idOf(number), summary }) });
  for (let number = 0; number < COUNT; number++) push(number);
  const { site } = await TestServer.create(t, state);
  const folder = await mkdtemp(join(tmpdir(), 'regindexer-site-'));
  t.after(() => rm(folder, { recursive: true }));
  /** Rebuilds and exports; returns the apps whose `.flatpakref` was asked for, and how many files were written. */
  const exported = async (options: Partial<ExportOptions> = {}) => {
    await state.rebuild();
    const index = await state.index();
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
      indexes: [
        { name: 'apps', fileName: 'apps', maxAge: 60, repositoryPriority: [], registry: undefined, images: undefined },
      ],
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
  return { state, push, exported, besides, folder };
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
  assert.equal(asked, again.asked + its.length);
  // Its details and its file that installs; the list of apps, a page of it, the home page, and three documents.
  assert.equal(written, 2 + 1 + 1 + 1 + 3);
  assert.match(await readFile(join(folder, 'api/apps/apps.json'), 'utf8'), /"summary":"New"/);
  assert.match(await readFile(join(folder, `api/apps/apps/${idOf(7)}.json`), 'utf8'), /"summary":"New"/);

  // What has another tag alone changes nothing, from the second time on.
  push(8, 'Not yet', 'beta');
  await exported();
  push(8, 'Nearly', 'beta');
  const other = await exported();
  // The document with all tags.
  assert.deepEqual([other.apps, other.written], [[], 1]);
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
