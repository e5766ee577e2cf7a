import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { EVERYTHING, type RebuildProgress } from '../../src/indexing/rebuild.ts';
import type { IndexDefinition } from '../../src/indexing/index-definition.ts';
import { SqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { IndexingThread } from '../../src/app/indexing-thread.ts';
import { ThreadEnded } from '../../src/app/calls.ts';
import type { SentRequest } from '../../src/registry/http/transport/sent-request.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { defineIndex } from '../indexing/test-state.ts';
import { playRegistry } from '../registry/http/play-registry.ts';

interface Setup {
  readonly thread: IndexingThread;
  readonly registry: string;
  readonly stateDir: string;
  readonly published: string[];
  readonly warnings: string[];
  readonly exits: Error[];
}

/** Starts an indexing thread over a copy of the samples. */
async function setUp(
  t: TestContext,
  repositories: readonly string[] = [],
  definition: Partial<IndexDefinition> = {},
): Promise<Setup> {
  const folder = await mkdtemp(join(tmpdir(), 'regindexer-indexing-'));
  await cp(SAMPLE_IMAGES, join(folder, 'images'), { recursive: true });
  const registry = `oci:${join(folder, 'images')}`;
  const stateDir = join(folder, 'state');
  const [published, warnings, exits]: [string[], string[], Error[]] = [[], [], []];
  const thread = new IndexingThread(
    {
      stateDir,
      iconsDir: join(folder, 'icons'),
      iconsUri: 'icons/',
      cleanFilesAfter: 1000,
      registries: [{ id: registry, concurrency: 4, timeout: 1000, repositories }],
      definitions: [defineIndex({ registry, ...definition })],
    },
    {
      onPublished: (index, document) => published.push(`${index} ${document}`),
      onRequests: () => undefined,
      onWarning: (message) => warnings.push(message),
      onStoreLost: () => undefined,
      onExit: (error) => exits.push(error),
    },
  );
  t.after(async () => {
    await thread.close();
    await rm(folder, { recursive: true });
  });
  return { thread, registry, stateDir, published, warnings, exits };
}

test('it rebuilds in a thread of its own, and sends events', async (t) => {
  const { thread, registry, stateDir, published, warnings } = await setUp(t);
  await thread.refresh();
  const progress: RebuildProgress[] = [];
  const result = await thread.rebuild(registry, EVERYTHING, { onProgress: (at) => progress.push(at) });
  assert.deepEqual([result.repositories, result.newImages, result.failures], [3, 3, []]);
  assert.deepEqual(published, ['apps index', 'apps apps']);
  assert.ok(progress.length > 0);
  const publications = SqliteStore.openPublications(stateDir);
  t.after(() => publications?.close());
  const publication = await publications?.publication('apps');
  assert.equal((await publications?.chunkHeads(publication?.chunks ?? []))?.size, publication?.chunks.length);
  assert.deepEqual(
    [await thread.knowsRepository('apps/hello'), await thread.knowsRepository('apps/none')],
    [true, false],
  );
  await assert.rejects(
    thread.rebuild('http://other.example.org', EVERYTHING),
    /the registry http:\/\/other\.example\.org is not configured/,
  );
  assert.deepEqual(warnings, []);
});

test('onExit is called when the thread crashes, and the next rebuild starts another', async (t) => {
  const { thread, registry, exits } = await setUp(t);
  const started = once(process, 'worker') as Promise<[Worker]>;
  await thread.rebuild(registry, EVERYTHING);
  const [worker] = await started;
  const rebuild = assert.rejects(thread.rebuild(registry, EVERYTHING), ThreadEnded);
  await worker.terminate();
  await rebuild;
  assert.equal(exits.length, 1);
  const again = await thread.rebuild(registry, EVERYTHING);
  assert.deepEqual([again.newImages, again.failures], [0, []], 'what was known is known');
});

test('a setting is what it was set to first, also in another thread', async (t) => {
  const { thread, stateDir } = await setUp(t);
  assert.equal(await thread.setting('queue', 'one'), 'one');
  assert.equal(await thread.setting('queue', 'two'), 'one');
  await thread.close();
  const store = SqliteStore.open(stateDir, assert.fail);
  assert.equal(await store.settings.get('queue'), 'one');
  await store.close();
});

test('an abort ends a rebuild', async (t) => {
  const { thread, registry } = await setUp(t);
  await assert.rejects(thread.rebuild(registry, EVERYTHING, { signal: AbortSignal.abort() }), /abort/);
  assert.equal((await thread.rebuild(registry, EVERYTHING)).newImages, 3);
});

test('onRequest is called for each request of the thread', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'regindexer-indexing-'));
  const { url } = await playRegistry(t, (_request, response) => void response.end('{"repositories": []}'));
  const told: SentRequest[] = [];
  const thread = new IndexingThread(
    {
      stateDir: folder,
      iconsDir: join(folder, 'icons'),
      iconsUri: 'icons/',
      cleanFilesAfter: 1000,
      registries: [{ id: url, concurrency: 4, timeout: 1000 }],
      definitions: [defineIndex({ registry: url })],
    },
    {
      onPublished: () => undefined,
      onRequests: () => undefined,
      onRequest: (request) => told.push(request),
      onWarning: () => undefined,
      onStoreLost: () => undefined,
      onExit: () => undefined,
    },
  );
  t.after(async () => {
    await thread.close();
    await rm(folder, { recursive: true });
  });
  await thread.rebuild(url, EVERYTHING);
  assert.deepEqual(
    told.map(({ method, url: asked, status }) => ({ method, asked, status })),
    [{ method: 'GET', asked: `${url}/v2/_catalog`, status: 200 }],
  );
});

test('it knows only repositories that the configuration takes', async (t) => {
  const { thread, registry } = await setUp(t, ['apps/*'], { repositoryExclude: ['apps/clock'] });
  assert.deepEqual((await thread.rebuild(registry, EVERYTHING)).repositories, 1);
  const known = await Promise.all(
    ['apps/hello', 'apps/clock', 'runtime/platform'].map((name) => thread.knowsRepository(name)),
  );
  assert.deepEqual(known, [true, false, false]);
});
