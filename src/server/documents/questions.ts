/**
 * Answers questions whose parts are not all ready: chunk by chunk, a few at a time, and caches the answers by chunk.
 */
import { LRUCache } from 'lru-cache';
import pMap from 'p-map';
import type { Chunk } from '../../indexing/chunk/chunk.ts';
import { EMPTY_PART, joinParts, type ChunkPart } from '../../indexing/chunk/part.ts';
import { prepareQuery } from '../../indexing/query/ask-chunk.ts';
import { Effort, MAX_STEPS } from '../../indexing/query/effort.ts';
import { flatpakQuestion, type Query } from '../../indexing/query/query.ts';
import { untilAborted } from '../../system/on-abort.ts';
import type { ServedDocument, ServedIndex } from './served-index.ts';
import { NotBuiltYet, TooBusy } from '../server-error.ts';

/** Questions that are answered concurrently. */
const AT_ONCE = 2;
/** Chunks of a question that are asked at the same time: while zlib works on one, another one is looked through. */
const CHUNKS_AT_ONCE = 4;
/** Size of the cache, in bytes. */
const MAX_BYTES = 8 * 1024 * 1024;
/** Different pending questions; more are refused. */
const MAX_WAITING = 64;
/** Share of them that one client may have. */
const SHARE = 1 / 4;
/** Bytes that a cached answer takes beside its parts, and a part beside its content. */
const OVERHEAD = 4096;
const PART_OVERHEAD = 512;

/** Cache hits and misses. */
export interface QueryCounts {
  hits: number;
  misses: number;
}

/** Options of {@link Questions}. */
export interface QuestionsOptions {
  /** Incremented with each question. */
  readonly counts: QueryCounts;
  /** Size of the cache; {@link MAX_BYTES} unless given. */
  readonly maxBytes?: number;
  /** Pending questions; {@link MAX_WAITING} unless given. */
  readonly maxWaiting?: number;
  /** Steps for one question; {@link MAX_STEPS} unless given. */
  readonly maxSteps?: number;
}

/** The client that asks a question. */
export interface Asker {
  /** Caches the answer. */
  readonly keep: boolean;
  /** Network of the client. */
  readonly from: string;
  readonly signal: AbortSignal;
}

/** A cached answer. */
interface Kept {
  /** {@link Shown.number} of the publication that was asked. */
  readonly number: number;
  /** Parts that are not empty, by chunk. */
  readonly parts: ReadonlyMap<string, ChunkPart>;
  readonly document: ServedDocument;
}

/** A pending question. */
interface Waiting {
  readonly from: string;
  readonly answered: Promise<ServedDocument>;
  askers: number;
  /** Aborts the work when nobody waits any more. */
  readonly unasked: AbortController;
}

/** Answers questions, and caches the answers. */
export class Questions {
  readonly #counts: QueryCounts;
  readonly #maxWaiting: number;
  readonly #kept: LRUCache<string, Kept>;
  readonly #waiting = new Map<string, Waiting>();
  readonly #maxSteps: number;
  /** Starts of queued questions, by client; clients take turns. */
  readonly #queue = new Map<string, (() => void)[]>();
  #running = 0;

  constructor({ counts, maxBytes = MAX_BYTES, maxWaiting = MAX_WAITING, maxSteps = MAX_STEPS }: QuestionsOptions) {
    this.#counts = counts;
    this.#maxWaiting = maxWaiting;
    this.#maxSteps = maxSteps;
    this.#kept = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: ({ parts }, key) =>
        [...parts.values()].reduce((sum, part) => sum + PART_OVERHEAD + sizeOf(part), OVERHEAD + 2 * key.length),
    });
  }

  /**
   * Answers `query` from what the index shows now. Concurrent equal questions are answered once; the work is aborted
   * when nobody waits.
   * @throws NotBuiltYet; QueryError if it takes too many steps; TooBusy if too many others wait; the signal's reason
   */
  async answer(index: ServedIndex, query: Query, { keep, from, signal }: Asker): Promise<ServedDocument> {
    const shown = index.shown;
    if (shown === undefined) throw new NotBuiltYet(index.name);
    const key = `${index.name} ${query.canonical}`;
    const kept = this.#kept.get(key);
    if (kept?.number === shown.number) {
      this.#counts.hits++;
      return kept.document;
    }
    this.#counts.misses++;
    signal.throwIfAborted();
    const work = `${shown.number} ${key}`;
    return this.#wait(work, this.#waiting.get(work) ?? this.#begin(work, key, index, query, keep, from), signal);
  }

  #begin(work: string, key: string, index: ServedIndex, query: Query, keep: boolean, from: string): Waiting {
    const itsOwn = [...this.#waiting.values()].filter((other) => other.from === from).length;
    if (this.#waiting.size >= this.#maxWaiting || itsOwn >= Math.ceil(this.#maxWaiting * SHARE)) throw new TooBusy();
    const unasked = new AbortController();
    const answered = this.#inTurn(from, unasked.signal, () => this.#answer(key, index, query, keep, unasked.signal));
    const waiting: Waiting = { from, answered, askers: 0, unasked };
    this.#waiting.set(work, waiting);
    return waiting;
  }

  async #wait(work: string, waiting: Waiting, signal: AbortSignal): Promise<ServedDocument> {
    waiting.askers++;
    try {
      return await untilAborted(waiting.answered, signal);
    } finally {
      // The last one is done or gone: an equal question starts anew.
      if (--waiting.askers === 0) {
        this.#waiting.delete(work);
        waiting.unasked.abort();
      }
    }
  }

  async #inTurn<T>(from: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const { promise: turn, resolve: begin } = Promise.withResolvers<void>();
    this.#queue.set(from, [...(this.#queue.get(from) ?? []), begin]);
    this.#beginNext();
    await turn;
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      this.#running--;
      this.#beginNext();
    }
  }

  #beginNext(): void {
    for (const [from, [begin, ...others]] of this.#queue) {
      if (this.#running >= AT_ONCE) return;
      // A client that had its turn moves to the end.
      this.#queue.delete(from);
      if (others.length > 0) this.#queue.set(from, others);
      this.#running++;
      begin?.();
    }
  }

  async #answer(
    key: string,
    index: ServedIndex,
    query: Query,
    keep: boolean,
    signal: AbortSignal,
  ): Promise<ServedDocument> {
    const { shown } = index;
    if (shown === undefined) throw new NotBuiltYet(index.name);
    const {
      number,
      publication: { registry, modified },
      chunks,
      since,
    } = shown;
    const before = this.#kept.get(key);
    const effort = new Effort({ signal, maxSteps: this.#maxSteps });
    const ask = prepareQuery(query, effort);
    const parts = new Map<string, ChunkPart>();
    const ready = flatpakQuestion(query);
    const partOf = async (chunk: Chunk): Promise<void> => {
      const kept =
        before !== undefined && (since.get(chunk.name) ?? number) <= before.number
          ? (before.parts.get(chunk.name) ?? EMPTY_PART)
          : undefined;
      const part = (ready && chunk.readyPart(ready)) ?? kept ?? (await ask(chunk));
      if (part.images > 0) parts.set(chunk.name, part);
      await effort.turn();
    };
    await pMap(chunks, partOf, { concurrency: CHUNKS_AT_ONCE });
    const document = index.serve(
      joinParts(
        registry,
        chunks.map((chunk) => ({ part: parts.get(chunk.name) ?? EMPTY_PART, slice: chunk.slice })),
      ),
      modified,
    );
    if (keep) this.#kept.set(key, { number, parts, document });
    return document;
  }
}

function sizeOf({ entries, lists }: ChunkPart): number {
  return entries.size + entries.hashes.length + (lists === undefined ? 0 : lists.size + lists.hashes.length);
}
