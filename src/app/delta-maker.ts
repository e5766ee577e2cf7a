/** Makes the deltas that the indexes want, one after another, and hands them to the indexing thread. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { DeltaQueueState } from '../indexing/deltas/delta-queue.ts';
import type { DeltaFigures } from '../server/figures.ts';
import type { DeltaStatus } from '../server/site.ts';
import { PIECE_BYTES } from '../store/blobs.ts';
import type { DeltaOutcome, PendingDelta } from '../store/deltas.ts';
import { messageOf } from '../system/message-of.ts';
import { DeltaThread } from './delta-thread.ts';
import type { DeltaWorkerOptions } from './delta-worker.ts';
import type { IndexingThread } from './indexing-thread.ts';
import { FIRST_PAUSE, LAST_PAUSE, PostponedDeltas } from './postponed-deltas.ts';

/** The queue of deltas, as the indexing thread has it. */
export type DeltaStore = Pick<IndexingThread, 'deltas' | 'beginDelta' | 'writeDelta' | 'endDelta'>;

/** Objects that a {@link DeltaMaker} needs. */
export interface DeltaMakerOptions {
  readonly store: DeltaStore;
  readonly worker: DeltaWorkerOptions;
  readonly logger: Logger;
  readonly figures: DeltaFigures;
  /** Returns the message of an error for everybody; the log has the error itself. */
  readonly publicMessage: (error: unknown) => string;
}

/** Makes deltas from {@link wake} on, while there are any to make. */
export class DeltaMaker {
  readonly #options: DeltaMakerOptions;
  readonly #thread: DeltaThread;
  readonly #stopping = new AbortController();
  readonly #postponed = new PostponedDeltas();
  /** Pause after the next failure of the queue itself, in milliseconds. */
  #pause = FIRST_PAUSE;
  /** When the queue was read last, in milliseconds since the epoch. */
  #readAt = 0;
  #status: DeltaStatus | undefined;
  #running: Promise<void> | undefined;
  /** True if there may be more to make than the current run has seen. */
  #woken = false;
  #timer: NodeJS.Timeout | undefined;
  #wasFull = false;

  constructor(options: DeltaMakerOptions) {
    this.#options = options;
    this.#thread = new DeltaThread(options.worker);
  }

  /** State of the queue; `undefined` before it is known. */
  get status(): DeltaStatus | undefined {
    return this.#status;
  }

  /** Makes what there is to make. */
  wake(): void {
    if (this.#stopping.signal.aborted) return;
    this.#woken = true;
    if (this.#running !== undefined) return;
    clearTimeout(this.#timer);
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#woken) this.wake();
    });
  }

  /** Makes what there is to make, and resolves when there is no more, or what is left has to wait. */
  async finished(): Promise<void> {
    this.wake();
    while (this.#running !== undefined) await this.#running;
  }

  /** Stops at once: what is being made is lost, and made again after the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#timer);
    await this.#thread.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { logger } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#woken = false;
      try {
        const state = await this.#read();
        this.#note(state);
        if (state.next === undefined) break;
        await this.#make(state.next, state.next.limits);
      } catch (error) {
        if (signal.aborted) return;
        this.#showError(error);
        logger.error({ err: error }, `deltas cannot be made now: ${messageOf(error)}`);
        await sleep(this.#pause, undefined, { signal }).catch(() => undefined);
        this.#pause = Math.min(LAST_PAUSE, this.#pause * 2);
      }
    }
    // An idle thread would keep its memory.
    await this.#thread.close();
    // Those whose time has come were looked at in this run: they are not wanted any more, or there is no room.
    const next = this.#postponed.next(this.#readAt);
    if (!signal.aborted && Number.isFinite(next))
      this.#timer = setTimeout(() => this.wake(), Math.max(0, next - Date.now()));
  }

  /** Reads the queue; those that failed before come last, so that they hold up no others. */
  async #read(): Promise<DeltaQueueState> {
    const { store } = this.#options;
    const now = Date.now();
    this.#readAt = now;
    const state = await store.deltas(this.#postponed.passedOver('failed', now));
    if (state.next !== undefined || state.full || !this.#postponed.isAnyDue(now)) return state;
    const again = await store.deltas(this.#postponed.passedOver('waiting', now));
    if (again.next === undefined && !again.full) this.#postponed.deleteDue(now);
    return again;
  }

  async #make(delta: PendingDelta, limits: NonNullable<DeltaQueueState['next']>['limits']): Promise<void> {
    const { figures, store } = this.#options;
    const started = performance.now();
    let outcome: DeltaOutcome;
    try {
      this.#show({ making: { repository: delta.repository, target: delta.target } });
      outcome = await this.#thread.make(delta, limits);
      if (outcome.kind === 'made' && !(await this.#hand(outcome))) return;
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#postpone(delta, error);
      return;
    } finally {
      this.#show({ making: undefined });
    }
    const seconds = (performance.now() - started) / 1000;
    await store.endDelta(delta, outcome);
    this.#postponed.delete(delta);
    this.#pause = FIRST_PAUSE;
    figures.count(outcome.kind, seconds);
    this.#log(delta, outcome, seconds);
  }

  /** Hands the delta that was made to the store; returns whether there is room for it. */
  async #hand({ digest, size }: DeltaOutcome & { readonly kind: 'made' }): Promise<boolean> {
    const { store } = this.#options;
    if (!(await store.beginDelta(digest, size))) return false;
    for (let position = 0; position * PIECE_BYTES < size; position++)
      await store.writeDelta(await this.#thread.piece(position));
    return true;
  }

  #postpone(delta: PendingDelta, error: unknown): void {
    const { registry, repository, source, target } = delta;
    const pause = this.#postponed.add(delta);
    this.#showError(error);
    this.#options.logger.warn(
      { registry, repository, source, target, err: error },
      `the delta for ${repository} could not be made, and is tried again in ${Math.round(pause / 1000)} s: ${messageOf(error)}`,
    );
  }

  #log({ registry, repository, source, target }: PendingDelta, outcome: DeltaOutcome, seconds: number): void {
    const { logger } = this.#options;
    const about = { registry, repository, source, target, seconds: Math.round(seconds * 1000) / 1000 };
    if (outcome.kind === 'made') {
      const { size, layerSize } = outcome;
      logger.info(
        { ...about, size, layerSize },
        `made a delta for ${repository}: ${size} bytes instead of ${layerSize}`,
      );
    } else if (outcome.kind === 'unsuitable') logger.info(about, `no delta for ${repository}: ${outcome.reason}`);
    else logger.error(about, `the delta for ${repository} failed, and is not tried again: ${outcome.reason}`);
  }

  #note(state: DeltaQueueState): void {
    const { next: _next, ...counts } = state;
    this.#show(counts);
    this.#options.figures.show(counts);
    if (state.full && !this.#wasFull)
      this.#options.logger.warn(
        `${state.pending} deltas wait until others are removed: raise indexes.NAME.deltas.max_store, which ${state.stored} bytes fill`,
      );
    this.#wasFull = state.full;
  }

  #showError(error: unknown): void {
    this.#show({ lastError: { message: this.#options.publicMessage(error), at: Date.now() } });
  }

  #show(change: Partial<DeltaStatus>): void {
    this.#status = { ...EMPTY, ...this.#status, ...change };
  }
}

const EMPTY: DeltaStatus = {
  pending: 0,
  made: 0,
  unsuitable: 0,
  failed: 0,
  bytes: 0,
  saved: 0,
  stored: 0,
  full: false,
};
