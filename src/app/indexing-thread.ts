/** The build thread, seen from the thread that serves. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { IndexingOptions } from './recovering-indexer.ts';
import type { PublishedPart } from '../indexing/indexer.ts';
import type { RebuildProgress, RebuildResult, RebuildScope } from '../indexing/rebuild.ts';
import type { RequestCount } from '../registry/http/transport/request-counts.ts';
import type { OnRequest } from '../registry/http/transport/sent-request.ts';
import type { WorkerEvent, WorkerMethods } from './indexing-worker.ts';
import { Calls, unlessEnded } from './calls.ts';

/** `start-worker.js` once it is built. */
const THREAD = new URL(`./start-worker${extname(import.meta.filename)}`, import.meta.url);

export interface IndexingThreadEvents {
  /** Something new of the index is published. */
  onPublished(index: string, part: PublishedPart): void;
  /** Requests that were made to registries since this was last called. */
  onRequests(counts: readonly RequestCount[]): void;
  /** Told of each request to a registry; the thread sends none of this if absent. */
  readonly onRequest?: OnRequest | undefined;
  onWarning(message: string): void;
  /** A file of the store was damaged, and another one took its place: all registries have to be read anew. */
  onStoreLost(): void;
  /** The thread ended without having been asked to; the next call starts another. */
  onExit(error: Error): void;
}

/** Builds in a thread of its own, which is started when it is first needed, and again should it ever die. */
export class IndexingThread {
  readonly #options: IndexingOptions;
  readonly #events: IndexingThreadEvents;
  readonly #progress = new Map<string, (progress: RebuildProgress) => void>();
  #calls: Calls<WorkerMethods, WorkerEvent> | undefined;

  constructor(options: IndexingOptions, events: IndexingThreadEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** Brings every index up to date with what the catalog holds, without asking a registry. */
  refresh(signal?: AbortSignal): Promise<void> {
    return this.#started().call('refresh', [], signal);
  }

  /** Makes anew what is published and not as it was written; says whether something is lost that only a full rebuild can bring back. */
  mend(signal?: AbortSignal): Promise<boolean> {
    return this.#started().call('mend', [], signal);
  }

  /** See `Indexer.rebuild`; one at a time for each registry. */
  async rebuild(registry: string, scope: RebuildScope, { onProgress, signal }: { onProgress?: (progress: RebuildProgress) => void; signal?: AbortSignal } = {}): Promise<RebuildResult> {
    if (onProgress) this.#progress.set(registry, onProgress);
    try {
      return await this.#started().call('rebuild', [registry, scope], signal);
    } finally {
      this.#progress.delete(registry);
    }
  }

  /** Says whether the catalog or a registry has the repository; yes if a registry cannot be asked. */
  knowsRepository(name: string): Promise<boolean> {
    return this.#started().call('knowsRepository', [name]);
  }

  /** Closes the store and ends the thread. */
  async close(): Promise<void> {
    const calls = this.#calls;
    if (calls === undefined) return;
    await calls.call('close', []).catch(unlessEnded);
    await calls.terminate();
  }

  #started(): Calls<WorkerMethods, WorkerEvent> {
    this.#calls ??= this.#start();
    return this.#calls;
  }

  #start(): Calls<WorkerMethods, WorkerEvent> {
    const calls = new Calls<WorkerMethods, WorkerEvent>(new Worker(THREAD, { name: 'build' }), {
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
        this.#events.onPublished(event.index, event.part);
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
