/** What registries notify of, asked for at once and a moment later once more. */
import type { RebuildQueue } from './rebuild-queue.ts';
import type { RebuildRequest } from './rebuild-request.ts';
import type { Rebuild } from './rebuild.ts';

/**
 * Distribution keeps the manifest, notifies, and only then writes the tag (`PutManifest` in its handlers), so that whoever is quick
 * finds the tag as it was. After so many milliseconds it is written.
 */
const SECOND_LOOK = 500;

export class Notifications {
  readonly #queue: Pick<RebuildQueue, 'request'>;
  readonly #timers = new Set<NodeJS.Timeout>();
  #stopped = false;

  constructor(queue: Pick<RebuildQueue, 'request'>) {
    this.#queue = queue;
  }

  /** Asks for all of `scope` now, and for its tags again later. */
  request({ reason, scope }: { readonly reason: string; readonly scope: readonly RebuildRequest[] }): Rebuild {
    const tags = scope.filter(({ kind }) => kind === 'tag');
    if (tags.length > 0 && !this.#stopped) {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#queue.request({ reason: `${reason}, second look`, scope: tags });
      }, SECOND_LOOK);
      this.#timers.add(timer);
    }
    return this.#queue.request({ reason, scope });
  }

  /** Asks for nothing more of its own. Call it before the queue is closed. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}
