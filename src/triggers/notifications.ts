/** What registries notify of: asked for a moment later, and once more. */
import type { RebuildQueue } from './rebuild-queue.ts';
import type { RebuildRequest } from './rebuild-request.ts';

/**
 * Distribution keeps the manifest, notifies, and only then writes the tag (`PutManifest` in its handlers): whoever asks at once
 * finds the tag as it was. On a disk it is soon written; the second look is for slow storage. In milliseconds after the notification.
 */
const LOOKS = [
  { after: 100, as: '' },
  { after: 500, as: ', second look' },
] as const;

export class Notifications {
  readonly #queue: Pick<RebuildQueue, 'request'>;
  readonly #timers = new Set<NodeJS.Timeout>();
  #stopped = false;

  constructor(queue: Pick<RebuildQueue, 'request'>) {
    this.#queue = queue;
  }

  /** Asks for `scope`: for whole repositories now, since these were changed before it was told; for tags a little later, twice. */
  request({ reason, scope }: { readonly reason: string; readonly scope: readonly RebuildRequest[] }): void {
    const tags = scope.filter(({ kind }) => kind === 'tag');
    const others = scope.filter(({ kind }) => kind !== 'tag');
    if (others.length > 0) this.#queue.request({ reason, scope: others });
    if (tags.length === 0 || this.#stopped) return;
    for (const { after, as } of LOOKS) {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#queue.request({ reason: `${reason}${as}`, scope: tags });
      }, after);
      this.#timers.add(timer);
    }
  }

  /** Asks for no tag any more. Call it before the queue is closed. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}
