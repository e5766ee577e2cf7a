/** The rebuilds of the first thread, as others are told of them. */
import { EventEmitter } from 'node:events';
import type { RebuildEvents } from '../server/routes/rebuild-events.ts';
import type { RebuildQueueEvents } from '../triggers/rebuild-queue.ts';
import { isLive, type Rebuild } from '../triggers/rebuild.ts';

/** Something that has happened to a rebuild, and all that run or wait since. It can be cloned. */
export interface RebuildNews {
  readonly event: keyof RebuildQueueEvents;
  readonly rebuild: Rebuild;
  readonly live: readonly Rebuild[];
}

const EVENTS: readonly (keyof RebuildQueueEvents)[] = ['queued', 'started', 'progress', 'finished'];

/** Those that run or wait, the newest first. */
export function liveRebuilds(rebuilds: RebuildEvents): readonly Rebuild[] {
  return rebuilds.recent().filter(isLive);
}

/** Has `tell` called with all that happens from now on; returns how to end that. */
export function relayRebuilds(rebuilds: RebuildEvents, tell: (news: RebuildNews) => void): () => void {
  const listeners = EVENTS.map((event) => [event, (rebuild: Rebuild): void => tell({ event, rebuild, live: liveRebuilds(rebuilds) })] as const);
  for (const [event, listener] of listeners) rebuilds.on(event, listener);
  return () => {
    for (const [event, listener] of listeners) rebuilds.off(event, listener);
  };
}

/** The other end. */
export class RelayedRebuilds extends EventEmitter<RebuildQueueEvents> implements RebuildEvents {
  #live: readonly Rebuild[] = [];

  /** Those that run or wait now. */
  begin(live: readonly Rebuild[]): void {
    this.#live = live;
  }

  receive({ event, rebuild, live }: RebuildNews): void {
    this.#live = live;
    this.emit(event, rebuild);
  }

  recent(): readonly Rebuild[] {
    return this.#live;
  }
}
