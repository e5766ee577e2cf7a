import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { Figures } from '../../src/server/figures.ts';
import type { IndexResult } from '../../src/indexing/rebuild.ts';
import type { RebuildQueueEvents } from '../../src/triggers/rebuild-queue.ts';
import type { Rebuild } from '../../src/triggers/rebuild.ts';

class PlayedRebuilds extends EventEmitter<RebuildQueueEvents> {
  recent(): readonly Rebuild[] {
    return [];
  }

  finish(registry: string, indexes: readonly IndexResult[] = []): void {
    const result = { repositories: 1, requests: 1, newImages: 0, failed: 0, failures: [], indexes };
    this.emit('finished', {
      result,
      id: registry,
      registry,
      reasons: ['test'],
      otherReasons: 0,
      scope: { indexes: 'all', repositories: new Map() },
      state: 'done',
      queuedAt: 1_000,
      startedAt: 2_000,
      finishedAt: 3_000,
    });
  }
}

test('registries that are no longer configured have no metrics that could raise an alert', async () => {
  const figures = new Figures();
  const [before, after] = [new PlayedRebuilds(), new PlayedRebuilds()];
  figures.follow(before, new Set(['http://a.example.org', 'http://b.example.org']));
  before.finish('http://a.example.org');
  before.finish('http://b.example.org');
  figures.follow(after, new Set(['http://b.example.org']));
  const last = [
    ...(await figures.metrics()).matchAll(
      /^regindexer_last_successful_rebuild_timestamp_seconds\{registry="(.*)"\} 3$/gm,
    ),
  ].map(([, registry]) => registry);
  assert.deepEqual(last, ['http://b.example.org']);
});

test('held images are reported until they are gone', async () => {
  const figures = new Figures();
  const rebuilds = new PlayedRebuilds();
  figures.follow(rebuilds, new Set(['http://a.example.org']));
  const result = { index: 'apps', images: 31, bytes: 1, changed: false, seconds: 1, warnings: [] };
  const held = async (): Promise<string | undefined> =>
    /^regindexer_index_held_images\{index="apps"\} (\d+)$/m.exec(await figures.metrics())?.[1];
  rebuilds.finish('http://a.example.org', [{ ...result, held: { images: 30, of: 31 } }]);
  assert.equal(await held(), '30');
  rebuilds.finish('http://a.example.org', [result]);
  assert.equal(await held(), '0');
  figures.follow(new PlayedRebuilds(), new Set());
  assert.equal(await held(), undefined, 'of an index that is not configured any more');
});

test('a replica that rebuilds no more reports nothing that another one may have found to be otherwise', async () => {
  const figures = new Figures();
  const rebuilds = new PlayedRebuilds();
  figures.follow(rebuilds, new Set(['http://a.example.org']));
  const result = { index: 'apps', images: 31, bytes: 1, changed: false, seconds: 1, warnings: [] };
  rebuilds.finish('http://a.example.org', [{ ...result, held: { images: 30, of: 31 } }]);
  const values = async (): Promise<readonly string[]> =>
    Array.from(
      (await figures.metrics()).matchAll(/^(regindexer_(?:index_held|failed|last)_\w+)\{/gm),
      ([, name = '']) => name,
    ).toSorted();
  const last = 'regindexer_last_successful_rebuild_timestamp_seconds';
  assert.deepEqual(await values(), ['regindexer_failed_repositories', 'regindexer_index_held_images', last]);
  figures.forgetRebuilds();
  assert.deepEqual(await values(), [last]);
});
