/** The indexing thread, as the main thread uses it. */
import { extname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { IndexingOptions } from './indexing-options.ts';
import type { DeltaQueueState } from '../indexing/deltas/delta-queue.ts';
import type { Explanation, ExplainSubject } from '../indexing/explain.ts';
import type { PublishedDocument } from '../indexing/indexer.ts';
import type { RebuildProgress, RebuildResult, RebuildScope } from '../indexing/rebuild.ts';
import type { Digest } from '../registry/digest.ts';
import type { RequestCount } from '../registry/http/transport/request-counts.ts';
import type { OnRequest } from '../registry/http/transport/sent-request.ts';
import type { DeltaOutcome, PassedOver, PendingDelta } from '../store/deltas.ts';
import type { WorkerEvent, WorkerMethods } from './indexing-worker.ts';
import { Calls, unlessEnded } from './calls.ts';

/** `start-worker.js` in the published package. */
const THREAD = new URL(`./start-worker${extname(import.meta.filename)}`, import.meta.url);

/** Time to close the store, in milliseconds. */
const CLOSE_LIMIT = 5_000;

/** Events of the indexing thread. */
export interface IndexingThreadEvents {
  /** The index, or its list of apps, was published. */
  onPublished(index: string, document: PublishedDocument): void;
  /** Registry requests since the last call. */
  onRequests(counts: readonly RequestCount[]): void;
  /** Called after each registry request; if absent, the thread does not send them. */
  readonly onRequest?: OnRequest | undefined;
  onWarning(message: string): void;
  /** A damaged file of the store was replaced: all registries must be read again. */
  onStoreLost(): void;
  /** The thread ended unexpectedly; the next call starts another. */
  onExit(error: Error): void;
}

/** Rebuilds in a thread of its own, which is started on first use, and restarted if it has ended. */
export class IndexingThread {
  readonly #options: IndexingOptions;
  readonly #events: IndexingThreadEvents;
  readonly #progress = new Map<string, (progress: RebuildProgress) => void>();
  #calls: Calls<WorkerMethods, WorkerEvent> | undefined;

  constructor(options: IndexingOptions, events: IndexingThreadEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** Publishes every index from the catalog, without asking a registry. */
  refresh(signal?: AbortSignal): Promise<void> {
    return this.#started().call('refresh', [], signal);
  }

  /** Rebuilds damaged publications from the catalog; returns whether a full rebuild is needed to restore the rest. */
  repair(signal?: AbortSignal): Promise<boolean> {
    return this.#started().call('repair', [], signal);
  }

  /** Rebuilds as `Indexer.rebuild`; call it for one registry at a time. */
  async rebuild(
    registry: string,
    scope: RebuildScope,
    { onProgress, signal }: { onProgress?: (progress: RebuildProgress) => void; signal?: AbortSignal } = {},
  ): Promise<RebuildResult> {
    if (onProgress) this.#progress.set(registry, onProgress);
    try {
      return await this.#started().call('rebuild', [registry, scope], signal);
    } finally {
      this.#progress.delete(registry);
    }
  }

  /** Returns whether the catalog or a registry has the repository; `true` if a registry cannot be asked. */
  knowsRepository(name: string): Promise<boolean> {
    return this.#started().call('knowsRepository', [name]);
  }

  /** Explains what each index shows of a repository, from the catalog. */
  explain(subject: ExplainSubject): Promise<readonly Explanation[]> {
    return this.#started().call('explain', [subject]);
  }

  /** Returns the setting `key` of the store; if there is none, it is `value` from now on. */
  setting(key: string, value: string): Promise<string> {
    return this.#started().call('setting', [key, value]);
  }

  /** Returns the state of the queue of deltas. */
  deltas(except: PassedOver): Promise<DeltaQueueState> {
    return this.#started().call('deltas', [except]);
  }

  /** Begins to write a delta; returns whether there is room for it. */
  beginDelta(digest: Digest, size: number): Promise<boolean> {
    return this.#started().call('beginDelta', [digest, size]);
  }

  /** Writes the next bytes of the delta. */
  writeDelta(bytes: Uint8Array): Promise<void> {
    return this.#started().call('writeDelta', [bytes]);
  }

  /** Records what came of making a delta, and publishes the indexes that show it. */
  endDelta(delta: PendingDelta, outcome: DeltaOutcome): Promise<void> {
    return this.#started().call('endDelta', [delta, outcome]);
  }

  /** Forgets a delta whose blob is lost, and publishes the indexes without it. */
  loseDelta(digest: Digest): Promise<void> {
    return this.#started().call('loseDelta', [digest]);
  }

  /**
   * Closes the store and ends the thread.
   * @param limit milliseconds for that; then the thread is ended as by a crash
   */
  async close(limit = CLOSE_LIMIT): Promise<void> {
    const calls = this.#calls;
    if (calls === undefined) return;
    const over = new AbortController();
    await Promise.race([
      calls.call('close', []).catch(unlessEnded),
      // A database that hangs does not let it close.
      sleep(limit, undefined, { signal: over.signal }).catch(() => undefined),
    ]);
    over.abort();
    await calls.terminate();
  }

  #started(): Calls<WorkerMethods, WorkerEvent> {
    this.#calls ??= this.#start();
    return this.#calls;
  }

  #start(): Calls<WorkerMethods, WorkerEvent> {
    const calls = new Calls<WorkerMethods, WorkerEvent>(new Worker(THREAD, { name: 'indexing' }), {
      onEvent: (event) => this.#receive(event),
      onExit: (error) => {
        this.#calls = undefined;
        this.#events.onExit(error);
      },
    });
    calls.call('configure', [this.#options, this.#events.onRequest !== undefined]).catch(unlessEnded);
    return calls;
  }

  #receive(event: WorkerEvent): void {
    switch (event.type) {
      case 'published':
        this.#events.onPublished(event.index, event.document);
        break;
      case 'progress':
        this.#progress.get(event.registry)?.(event.progress);
        break;
      case 'requests':
        this.#events.onRequests(event.counts);
        break;
      case 'request':
        this.#events.onRequest?.(event.request);
        break;
      case 'storeLost':
        this.#events.onStoreLost();
        break;
      case 'warning':
        this.#events.onWarning(event.message);
        break;
    }
  }
}
