/** Requests rebuilds for the notifications of registries, with a delay for tags. */
import type { RebuildQueue } from './rebuild-queue.ts';
import type { RebuildRequest } from './rebuild-request.ts';

/**
 * When tags are read, in milliseconds after the notification: Distribution stores the manifest, notifies, and only then
 * writes the tag (`PutManifest` in its handlers). The second read is for slow storage.
 */
const READS = [
  { after: 100, suffix: '' },
  { after: 500, suffix: ', second look' },
] as const;

/** Delays and passes on the notifications of registries. */
export class Notifications {
  readonly #queue: Pick<RebuildQueue, 'request' | 'finished'>;
  readonly #timers = new Set<NodeJS.Timeout>();
  #stopped = false;

  constructor(queue: Pick<RebuildQueue, 'request' | 'finished'>) {
    this.#queue = queue;
  }

  /**
   * Requests `scope`: tags twice, a moment later; all else at once. Ignores tags after {@link stop}. Resolves when the
   * rebuilds have ended, never if they are cancelled.
   */
  async request({
    reason,
    scope,
  }: {
    readonly reason: string;
    readonly scope: readonly RebuildRequest[];
  }): Promise<void> {
    const tags = scope.filter(({ kind }) => kind === 'tag');
    const others = scope.filter(({ kind }) => kind !== 'tag');
    const rebuilds: Promise<unknown>[] = [];
    if (others.length > 0) rebuilds.push(this.#rebuild(reason, others));
    if (tags.length > 0 && !this.#stopped)
      for (const { after, suffix } of READS) rebuilds.push(this.#rebuildAfter(after, `${reason}${suffix}`, tags));
    await Promise.all(rebuilds);
  }

  #rebuild(reason: string, scope: readonly RebuildRequest[]): Promise<unknown> {
    return this.#queue.finished(this.#queue.request({ reason, scope }).id);
  }

  #rebuildAfter(pause: number, reason: string, scope: readonly RebuildRequest[]): Promise<unknown> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve(this.#rebuild(reason, scope));
      }, pause);
      this.#timers.add(timer);
    });
  }

  /** Cancels pending requests for tags. Call it before the queue is closed. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}
