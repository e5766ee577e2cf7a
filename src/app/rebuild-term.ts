/** Work of the leading replica on the requests in a shared store, from the begin of its term to the end. */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { messageOf } from '../system/message-of.ts';
import type { RebuildRows, RequestRow, RowChange } from '../store/postgres/rebuild-rows.ts';
import { StoreError } from '../store/store-error.ts';
import { rebuildToJson, type RebuildJson } from '../triggers/rebuild-json.ts';
import type { RebuildRequest } from '../triggers/rebuild-request.ts';
import { mergeAllScopes } from '../triggers/rebuild-scope.ts';
import { isLive, type Rebuild } from '../triggers/rebuild.ts';
import type { Leader } from './leader.ts';

/** Time between two attempts to write while the store is away, in milliseconds. */
const RETRY = 1_000;
/** Least time between two writes of progress, in milliseconds. */
const PROGRESS_INTERVAL = 300;

/** Requests and rebuilds in the store. */
export type SharedRows = RebuildRows<readonly RebuildRequest[], RebuildJson>;

/** Objects that a {@link RebuildTerm} needs. */
export interface RebuildTermOptions {
  readonly rows: SharedRows;
  readonly logger: Logger;
}

/** Takes the requests in the store for the queue of the leading replica, and tells the others of its rebuilds. */
export class RebuildTerm {
  readonly #options: RebuildTermOptions;
  readonly #leader: Leader;
  /** Requests that were taken. */
  readonly #taken = new Set<string>();
  /** Rebuilds whose state has to be written; each as it is when it is written. */
  readonly #unwritten = new Map<string, Rebuild>();
  /** Other changes to write, in order. */
  readonly #changes: { readonly change: RowChange<RebuildJson>; readonly done: () => void }[] = [];
  readonly #ended = new AbortController();
  #writing = false;
  #progressTimer: NodeJS.Timeout | undefined;
  #takeAgain = false;
  #taking = false;
  #begun: Promise<void>;
  #repairing: Promise<void> | undefined;

  constructor(options: RebuildTermOptions, leader: Leader) {
    this.#options = options;
    this.#leader = leader;
    leader.queue
      .on('queued', this.#onChange)
      .on('started', this.#onChange)
      .on('finished', this.#onChange)
      .on('progress', this.#onProgress)
      .on('replaced', this.#onReplaced);
    this.#begun = this.#untilWritten(() =>
      options.rows.abandon((rebuild) => ({
        ...rebuild,
        state: 'failed',
        finishedAt: Date.now(),
        error: 'the replica that ran it does not lead any more; what was asked for is done again',
      })),
    );
    this.take();
  }

  end(): void {
    this.#ended.abort();
    clearTimeout(this.#progressTimer);
    this.#leader.queue
      .off('queued', this.#onChange)
      .off('started', this.#onChange)
      .off('finished', this.#onChange)
      .off('progress', this.#onProgress)
      .off('replaced', this.#onReplaced);
  }

  take(): void {
    this.#takeAgain = true;
    if (this.#taking) return;
    this.#taking = true;
    void this.#untilWritten(async () => {
      await this.#begun;
      // At least once: what is repeated because it failed has not looked yet.
      do {
        this.#takeAgain = false;
        for (const asked of await this.#options.rows.waiting()) {
          if (this.#ended.signal.aborted) return;
          if (this.#taken.has(asked.id)) continue;
          this.#taken.add(asked.id);
          void this.#run(asked);
        }
      } while (this.#takeAgain);
    }).finally(() => (this.#taking = false));
  }

  async #run({ id, kind, reason, scope }: RequestRow<readonly RebuildRequest[]>): Promise<void> {
    const { queue, notifications } = this.#leader;
    let ended: Rebuild | undefined;
    try {
      if (kind === 'notification' && scope.length === 0) await this.#repair();
      else if (kind === 'notification') await notifications.request({ reason, scope });
      else {
        const rebuild = queue.request({ reason, scope });
        await this.#add({ kind: 'begun', request: id, rebuild: rebuildToJson(rebuild) });
        ended = await queue.finished(rebuild.id);
      }
    } catch (error) {
      const message = messageOf(error);
      ended = failed(
        reason,
        error instanceof RangeError ? `the replica that leads has another configuration: ${message}` : message,
      );
    }
    // A rebuild that ended because this replica leads no more is not what was asked for.
    if (this.#ended.signal.aborted) return;
    await this.#add({
      kind: 'ended',
      request: id,
      rebuild: ended === undefined || kind === 'notification' ? undefined : rebuildToJson(ended),
    });
    this.#taken.delete(id);
  }

  /** Repairs what is published, once for all replicas that ask meanwhile. */
  #repair(): Promise<void> {
    this.#repairing ??= this.#leader
      .repair()
      .then((lost) => {
        if (lost) this.#leader.rebuildLost();
      })
      .catch((error: unknown) => {
        if (!this.#ended.signal.aborted)
          this.#options.logger.error({ err: error }, 'the published indexes could not be repaired');
      })
      .finally(() => (this.#repairing = undefined));
    return this.#repairing;
  }

  readonly #onChange = (rebuild: Rebuild): void => {
    this.#unwritten.set(rebuild.id, rebuild);
    void this.#write();
  };

  readonly #onProgress = (rebuild: Rebuild): void => {
    this.#unwritten.set(rebuild.id, rebuild);
    this.#progressTimer ??= setTimeout(() => {
      this.#progressTimer = undefined;
      void this.#write();
    }, PROGRESS_INTERVAL);
  };

  readonly #onReplaced = (rebuild: Rebuild): void =>
    this.#onChange({ ...rebuild, state: 'failed', finishedAt: Date.now(), error: 'another rebuild replaced it' });

  /** Writes a change; resolves when it is written, or the term has ended. */
  #add(change: RowChange<RebuildJson>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#changes.push({ change, done: resolve });
    void this.#write();
    return promise;
  }

  /** Writes all that there is to write, in one transaction; and again while something is added meanwhile. */
  async #write(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    await this.#begun;
    // Rebuilds that begin at once, or end with their request, are told in one transaction.
    await setImmediate();
    while (this.#unwritten.size + this.#changes.length > 0) {
      const states = [...this.#unwritten].map(
        ([id, rebuild]) => ({ kind: 'state', id, rebuild: rebuildToJson(rebuild), isLive: isLive(rebuild) }) as const,
      );
      this.#unwritten.clear();
      const changes = this.#changes.splice(0);
      await this.#untilWritten(() => this.#options.rows.write(...states, ...changes.map(({ change }) => change)));
      for (const { done } of changes) done();
    }
    this.#writing = false;
  }

  /** Repeats a write until it succeeds, or the term has ended. */
  async #untilWritten(write: () => Promise<unknown>): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        await write();
        return;
      } catch (error) {
        if (!(error instanceof StoreError)) {
          this.#options.logger.error({ err: error }, 'the state of a rebuild could not be written');
          return;
        }
        if (error.code === 'deposed' || error.code === 'closed') return;
      }
      await sleep(RETRY, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** A rebuild that could not begin. */
function failed(reason: string, error: string): Rebuild {
  return {
    id: '',
    reasons: [reason],
    otherReasons: 0,
    scope: mergeAllScopes([]),
    state: 'failed',
    queuedAt: Date.now(),
    finishedAt: Date.now(),
    error,
  };
}
