import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { Figures } from '../../src/server/figures.ts';
import type { RebuildQueueEvents } from '../../src/triggers/rebuild-queue.ts';
import type { Rebuild } from '../../src/triggers/rebuild.ts';

class PlayedRebuilds extends EventEmitter<RebuildQueueEvents> {
  recent(): readonly Rebuild[] {
    return [];
  }

  finish(registry: string): void {
    this.emit('finished', { id: registry, registry, reasons: ['test'], otherReasons: 0, scope: { indexes: 'all', repositories: new Map() }, state: 'done', queuedAt: 1_000, startedAt: 2_000, finishedAt: 3_000 });
  }
}

test('of registries that are not configured any more nothing is told that could raise an alert', async () => {
  const figures = new Figures();
  const [before, after] = [new PlayedRebuilds(), new PlayedRebuilds()];
  figures.follow(before, new Set(['http://a.example.org', 'http://b.example.org']));
  before.finish('http://a.example.org');
  before.finish('http://b.example.org');
  figures.follow(after, new Set(['http://b.example.org']));
  const last = [...(await figures.metrics()).matchAll(/^regindexer_last_successful_rebuild_timestamp_seconds\{registry="(.*)"\} 3$/gm)].map(([, registry]) => registry);
  assert.deepEqual(last, ['http://b.example.org']);
});
