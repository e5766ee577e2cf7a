/**
 * Everything that rebuilds: the indexing thread, the queue of rebuilds, and the triggers. Of several replicas, only the
 * one that leads has it.
 */
import type { Logger } from 'pino';
import type { BusConfig, Config } from '../config/config.ts';
import type { Explanation, ExplainSubject } from '../indexing/explain.ts';
import { describeSent, type SentRequest } from '../registry/http/transport/sent-request.ts';
import type { Digest } from '../registry/digest.ts';
import type { Figures } from '../server/figures.ts';
import type { DeltaStatus } from '../server/site.ts';
import { Bus, type BusStatus } from '../triggers/bus/bus.ts';
import { Notifications } from '../triggers/notifications.ts';
import { RebuildQueue } from '../triggers/rebuild-queue.ts';
import { Schedule } from '../triggers/schedule.ts';
import { messageOf } from '../system/message-of.ts';
import type { IndexingOptions } from './indexing-options.ts';
import { DeltaMaker } from './delta-maker.ts';
import { IndexingThread } from './indexing-thread.ts';
import type { PublishedIndexes } from './published-indexes.ts';

/** Time for running rebuilds to end, in milliseconds. */
export const GRACE = 10_000;
/**
 * The same where a database rejects what is written under a lease that is over, and time to close that store: another
 * replica leads already, and this one may have to lead again.
 */
const SHARED_GRACE = 1_000;

/** Objects that a {@link Leader} needs. */
export interface LeaderOptions {
  readonly config: Config;
  /** Names of the indexes of each registry, by the registry's id. */
  readonly registries: ReadonlyMap<string, readonly string[]>;
  readonly indexing: IndexingOptions;
  readonly logger: Logger;
  readonly figures: Figures;
  /** Serves what is published. */
  readonly published: PublishedIndexes;
  /** Called after each rebuild that made the default index. */
  readonly onDefaultIndexReady: () => void;
}

/** Rebuilds from {@link begin} to {@link stop}; it cannot begin again. */
export class Leader {
  readonly queue: RebuildQueue;
  readonly notifications: Notifications;
  readonly #options: LeaderOptions;
  readonly #indexing: IndexingThread;
  /** Absent if no index has deltas. */
  readonly #deltas: DeltaMaker | undefined;
  readonly #schedule: Schedule;
  readonly #bus: Bus | undefined;
  readonly #begun = Promise.withResolvers<void>();
  /** Resolves when the content of the catalog has been published. */
  readonly #refreshed = Promise.withResolvers<void>();
  readonly #ending = new AbortController();

  constructor(options: LeaderOptions) {
    const { config, registries, logger, figures, published } = options;
    this.#options = options;
    const { signal } = this.#ending;
    this.#indexing = new IndexingThread(options.indexing, {
      onPublished: (index, document) => {
        published.load(index, document);
        if (document === 'index') this.#deltas?.wake();
      },
      onRequests: (counts) => figures.addRegistryRequests(counts),
      onRequest: logger.isLevelEnabled('debug') ? (request) => logRequest(logger, request) : undefined,
      onWarning: (message) => logger.warn(message),
      onStoreLost: () => {
        published.reopen();
        this.rebuildLost();
      },
      onExit: (error) => {
        logger.error({ err: error }, 'the indexing thread has ended unexpectedly; the next rebuild starts another');
        // Its last publications may not have been announced.
        void published.loadAll();
      },
    });
    if (config.indexes.some(({ deltas }) => deltas !== undefined))
      this.#deltas = new DeltaMaker({
        store: this.#indexing,
        worker: { folder: config.stateDir, registries: options.indexing.registries },
        logger,
        figures: figures.deltas,
        publicMessage: (error) => this.#publicMessage(error),
      });
    this.queue = new RebuildQueue({
      registries,
      logger,
      publicMessage: (error) => this.#publicMessage(error),
      run: async (registry, scope, runOptions) => {
        await this.#refreshed.promise;
        signal.throwIfAborted();
        const result = await this.#indexing.rebuild(registry, scope, runOptions);
        await published.loaded;
        return result;
      },
    });
    this.queue.on('finished', ({ result }) => {
      // Cleaning, which is the last of a rebuild, may have made room.
      if (this.deltaStatus?.full) this.#deltas?.wake();
      if (
        result?.indexes.some(
          ({ index, bytes, error }) => index === config.defaultIndex && bytes > 0 && error === undefined,
        ) &&
        result.failures.every(({ repository }) => repository !== undefined)
      )
        options.onDefaultIndexReady();
    });
    this.notifications = new Notifications(this.queue);
    this.#schedule = new Schedule({
      queue: this.queue,
      registries: registries.keys(),
      interval: config.rescanInterval,
    });
    this.#bus = config.bus && this.#createBus(config.bus);
  }

  /** State of the queue of deltas; `undefined` if no index has deltas, or it is not known yet. */
  get deltaStatus(): DeltaStatus | undefined {
    return this.#deltas?.status;
  }

  /** Forgets a delta that is damaged or missing in the store; it is made again. */
  async loseDelta(digest: Digest): Promise<void> {
    if (this.#ending.signal.aborted) return;
    await this.#indexing.loseDelta(digest);
    this.#deltas?.wake();
  }

  /** State of the bus; `undefined` if none is configured. */
  get busStatus(): BusStatus | undefined {
    return this.#bus?.status();
  }

  /**
   * Starts the triggers, publishes the content of the catalog, and then rebuilds everything; resolves when that rebuild
   * has ended.
   * @param reason of that rebuild
   */
  async begin(reason: string): Promise<void> {
    const { signal } = this.#ending;
    if (signal.aborted) return;
    this.#begun.resolve();
    const { figures, logger, registries } = this.#options;
    figures.follow(this.queue, new Set(registries.keys()));
    this.#schedule.start();
    this.#bus?.start();
    await this.#indexing.refresh(signal).catch((error: unknown) => {
      if (!signal.aborted) logger.error({ err: error }, 'the indexes could not be published from the catalog');
    });
    this.#refreshed.resolve();
    if (signal.aborted) return;
    this.#deltas?.wake();
    const { id } = this.queue.request({ reason, scope: { kind: 'everything' } });
    await this.queue.finished(id);
  }

  /**
   * Rebuilds damaged publications from the catalog; returns whether a full rebuild is needed to restore the rest. Waits
   * until the content of the catalog has been published.
   */
  async repair(): Promise<boolean> {
    const { signal } = this.#ending;
    await this.#refreshed.promise;
    return !signal.aborted && this.#indexing.repair(signal);
  }

  /** Requests a full rebuild to restore what the store has lost. */
  rebuildLost(): void {
    if (!this.#ending.signal.aborted)
      this.queue.request({ reason: 'a part of the store was damaged', scope: { kind: 'everything' } });
  }

  /** Returns whether the catalog or a registry has the repository; `true` if a registry cannot be asked. */
  async knowsRepository(name: string): Promise<boolean> {
    await this.#begun.promise;
    return this.#indexing.knowsRepository(name);
  }

  /** Explains what each index shows of a repository, from the catalog. */
  async explain(subject: ExplainSubject): Promise<readonly Explanation[]> {
    await this.#begun.promise;
    return this.#indexing.explain(subject);
  }

  /**
   * Stops the triggers, the running rebuild after `graceMs` milliseconds or when `signal` is aborted, and the indexing
   * thread.
   */
  async stop(graceMs: number, signal: AbortSignal): Promise<void> {
    this.#schedule.stop();
    this.notifications.stop();
    const deltasStopped = this.#deltas?.stop();
    await Promise.all([this.#bus?.close(), this.queue.settled(graceMs, signal)]);
    this.#ending.abort(new Error('the service is stopping'));
    // Releases waiting calls, which then see the aborted signal.
    this.#begun.resolve();
    this.#refreshed.resolve();
    const isShared = this.#options.indexing.database !== undefined;
    await this.queue.close({ graceMs: isShared ? SHARED_GRACE : GRACE });
    this.#options.figures.forgetRebuilds();
    await this.#indexing.close(isShared ? SHARED_GRACE : undefined);
    // They may have waited for the indexing thread, and that for a database that hangs.
    await deltasStopped;
    if (!isShared) await this.#options.published.loaded;
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    await this.#deltas?.stop();
    await this.#indexing.close();
  }

  /** Returns the message of an error for `/status`: those of a shared store name the database's host and user. */
  #publicMessage(error: unknown): string {
    return this.#options.indexing.database !== undefined && error instanceof Error && error.name === 'StoreError'
      ? 'the database cannot be used; the log of the replica that leads says why'
      : messageOf(error);
  }

  #createBus(config: BusConfig): Bus {
    return new Bus({
      ...config,
      keepSetting: (key, value) =>
        this.#indexing.setting(key, value).catch((cause: unknown) => {
          throw new Error(this.#publicMessage(cause), { cause });
        }),
      firstConnectionTriggers: true,
      counts: this.#options.figures.bus,
      onTrigger: (reason) => void this.queue.request({ reason, scope: { kind: 'everything' } }),
      logger: this.#options.logger,
    });
  }
}

/** Logs a request to a registry, for debugging. */
export function logRequest(logger: Logger, request: SentRequest): void {
  logger.debug({ ...request }, describeSent(request));
}
