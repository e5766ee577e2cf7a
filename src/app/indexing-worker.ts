/** The indexing thread: scans, renders and compresses, so that the main thread can answer meanwhile. */
import { parentPort } from 'node:worker_threads';
import type { IndexingOptions } from './indexing-options.ts';
import { RecoveringIndexer } from './recovering-indexer.ts';
import type { DeltaQueueState } from '../indexing/deltas/delta-queue.ts';
import type { Explanation, ExplainSubject } from '../indexing/explain.ts';
import type { PublishedDocument } from '../indexing/indexer.ts';
import type { RebuildProgress, RebuildResult, RebuildScope } from '../indexing/rebuild.ts';
import type { Digest } from '../registry/digest.ts';
import type { RequestCount } from '../registry/http/transport/request-counts.ts';
import { RequestCounts } from '../registry/http/transport/request-counts.ts';
import type { SentRequest } from '../registry/http/transport/sent-request.ts';
import type { DeltaOutcome, PassedOver, PendingDelta } from '../store/deltas.ts';
import { answerCalls } from './calls.ts';

/** Messages from the indexing thread. */
export type WorkerEvent =
  /** The index, or its list of apps, was published. */
  | { readonly type: 'published'; readonly index: string; readonly document: PublishedDocument }
  | { readonly type: 'progress'; readonly registry: string; readonly progress: RebuildProgress }
  /** Registry requests since the last such event. */
  | { readonly type: 'requests'; readonly counts: readonly RequestCount[] }
  /** One registry request, if `configure` asked for them. */
  | { readonly type: 'request'; readonly request: SentRequest }
  /** All registries must be read again. */
  | { readonly type: 'storeLost' }
  | { readonly type: 'warning'; readonly message: string };

/** Least time between two progress events, in milliseconds. */
const PROGRESS_INTERVAL = 100;

let options: IndexingOptions | undefined;
let indexer: Promise<RecoveringIndexer> | undefined;
let verbose = false;
const requests = new RequestCounts();

const methods = {
  /**
   * Must be called before all others.
   * @param each whether to send an event for each registry request
   */
  configure(_signal: AbortSignal, configured: IndexingOptions, each: boolean): void {
    options = configured;
    verbose = each;
  },

  /** Publishes every index from the catalog. */
  async refresh(signal: AbortSignal): Promise<void> {
    await (await opened()).refresh({ onPublished, signal });
  },

  async rebuild(signal: AbortSignal, registry: string, scope: RebuildScope): Promise<RebuildResult> {
    let last = 0;
    const onProgress = (progress: RebuildProgress): void => {
      const now = performance.now();
      if (now - last < PROGRESS_INTERVAL) return;
      last = now;
      send({ type: 'progress', registry, progress });
      sendCounts();
    };
    try {
      return await (await opened()).rebuild(registry, scope, { onProgress, onPublished, signal });
    } finally {
      sendCounts();
    }
  },

  /** See {@link RecoveringIndexer.repair}. */
  async repair(signal: AbortSignal): Promise<boolean> {
    return (await opened()).repair({ onPublished, signal });
  },

  async knowsRepository(signal: AbortSignal, name: string): Promise<boolean> {
    return (await opened()).knowsRepository(name, signal);
  },

  async explain(_signal: AbortSignal, subject: ExplainSubject): Promise<readonly Explanation[]> {
    return (await opened()).explain(subject);
  },

  /** See {@link RecoveringIndexer.setting}. */
  async setting(_signal: AbortSignal, key: string, value: string): Promise<string> {
    return (await opened()).setting(key, value);
  },

  /** See {@link RecoveringIndexer.deltas}. */
  async deltas(_signal: AbortSignal, except: PassedOver): Promise<DeltaQueueState> {
    return (await opened()).deltas(except);
  },

  /** See {@link RecoveringIndexer.beginDelta}. */
  async beginDelta(_signal: AbortSignal, digest: Digest, size: number): Promise<boolean> {
    return (await opened()).beginDelta(digest, size);
  },

  /** See {@link RecoveringIndexer.writeDelta}. */
  async writeDelta(_signal: AbortSignal, bytes: Uint8Array): Promise<void> {
    await (await opened()).writeDelta(bytes);
  },

  /** See {@link RecoveringIndexer.endDelta}. */
  async endDelta(signal: AbortSignal, delta: PendingDelta, outcome: DeltaOutcome): Promise<void> {
    await (await opened()).endDelta(delta, outcome, { onPublished, signal });
  },

  /** See {@link RecoveringIndexer.loseDelta}. */
  async loseDelta(signal: AbortSignal, digest: Digest): Promise<void> {
    await (await opened()).loseDelta(digest, { onPublished, signal });
  },

  /** Closes all connections and the store. */
  async close(): Promise<void> {
    await (await indexer)?.close();
    indexer = undefined;
  },
};
/** Methods that the main thread calls. */
export type WorkerMethods = typeof methods;

function opened(): Promise<RecoveringIndexer> {
  if (options === undefined) throw new Error('the indexing thread has not been configured');
  indexer ??= RecoveringIndexer.open(options, {
    onWarning: (message) => send({ type: 'warning', message }),
    onStoreLost: () => send({ type: 'storeLost' }),
    onRequest,
  }).catch((error: unknown) => {
    indexer = undefined;
    throw error;
  });
  return indexer;
}

function sendCounts(): void {
  const counts = requests.take();
  if (counts.length > 0) send({ type: 'requests', counts });
}

function onRequest(request: SentRequest): void {
  requests.count(request);
  if (verbose) send({ type: 'request', request });
}

function onPublished(index: string, document: PublishedDocument): void {
  send({ type: 'published', index, document });
}

let send: (event: WorkerEvent) => void = () => undefined;
if (parentPort) send = answerCalls(parentPort, methods);
