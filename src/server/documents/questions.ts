/** Answers questions whose parts are not all ready: chunk by chunk, a few at a time, the last answers kept by chunk. */
import { LRUCache } from 'lru-cache';
import { joinParts, NOTHING, type Part } from '../../indexing/chunk/part.ts';
import { asking } from '../../indexing/query/ask-chunk.ts';
import { Effort, MAX_STEPS } from '../../indexing/query/effort.ts';
import { flatpakQuestion, type Query } from '../../indexing/query/query.ts';
import { untilAborted } from '../../system/on-abort.ts';
import type { ServedDocument, ServedIndex } from './served-index.ts';
import { NotBuiltYet, TooBusy } from '../server-error.ts';

/** Questions that are answered at the same time. */
const AT_ONCE = 2;
/** Bytes to keep. */
const MAX_BYTES = 16 * 1024 * 1024;
/** Different questions that wait for an answer; more are refused. */
const MAX_WAITING = 64;
/** The part of them that one client may have. */
const SHARE = 1 / 4;
/** What keeping an answer takes beside its parts, and a part beside its bytes. */
const OVERHEAD = 4096;
const PART_OVERHEAD = 512;

/** How many questions were answered by what was kept, and how many were not. */
export interface QueryCounts {
  hits: number;
  misses: number;
}

export interface QuestionsOptions {
  /** Counted up. */
  readonly counts: QueryCounts;
  /** {@link MAX_BYTES} unless given. */
  readonly maxBytes?: number;
  /** {@link MAX_WAITING} unless given. */
  readonly maxWaiting?: number;
  /** Of one question; {@link MAX_STEPS} unless given. */
  readonly maxSteps?: number;
}

export interface Asker {
  /** Whether it will be asked again. */
  readonly keep: boolean;
  /** Who asks: each has a share of the places. */
  readonly from: string;
  readonly signal: AbortSignal;
}

/** What the chunks of an index have said. */
interface Kept {
  /** Of what was shown then: the chunks that were shown before as well are those that were asked. */
  readonly number: number;
  /** The parts of those that show something, by the chunk's name. */
  readonly parts: ReadonlyMap<string, Part>;
  readonly document: ServedDocument;
}

/** A question that is being worked out. */
interface Waiting {
  readonly from: string;
  readonly answered: Promise<ServedDocument>;
  askers: number;
  /** Ends the work. */
  readonly unasked: AbortController;
}

export class Questions {
  readonly #counts: QueryCounts;
  readonly #maxWaiting: number;
  readonly #kept: LRUCache<string, Kept>;
  readonly #waiting = new Map<string, Waiting>();
  readonly #maxSteps: number;
  /** What begins each question that waits for its turn, by who asks; they take turns. */
  readonly #queue = new Map<string, (() => void)[]>();
  #running = 0;

  constructor({ counts, maxBytes = MAX_BYTES, maxWaiting = MAX_WAITING, maxSteps = MAX_STEPS }: QuestionsOptions) {
    this.#counts = counts;
    this.#maxWaiting = maxWaiting;
    this.#maxSteps = maxSteps;
    this.#kept = new LRUCache({ maxSize: maxBytes, sizeCalculation: ({ parts }, key) => [...parts.values()].reduce((sum, part) => sum + PART_OVERHEAD + sizeOf(part), OVERHEAD + 2 * key.length) });
  }

  /**
   * The answer to `query` as the index shows it now. Equal questions at the same time are worked out once, as long as somebody waits.
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
      // The last one has the answer, or takes the question along: who asks the same now begins anew.
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
      // Whoever had a turn comes last.
      this.#queue.delete(from);
      if (others.length > 0) this.#queue.set(from, others);
      this.#running++;
      begin?.();
    }
  }

  async #answer(key: string, index: ServedIndex, query: Query, keep: boolean, signal: AbortSignal): Promise<ServedDocument> {
    const { shown } = index;
    if (shown === undefined) throw new NotBuiltYet(index.name);
    const { number, publication: { registry, modified }, chunks, since } = shown;
    const before = this.#kept.get(key);
    const effort = new Effort({ signal, maxSteps: this.#maxSteps });
    const ask = asking(query, effort);
    const parts = new Map<string, Part>();
    const ready = flatpakQuestion(query);
    for (const chunk of chunks) {
      const kept = before !== undefined && (since.get(chunk.name) ?? number) <= before.number ? (before.parts.get(chunk.name) ?? NOTHING) : undefined;
      const part = (ready && chunk.readyPart(ready)) ?? kept ?? (await ask(chunk));
      if (part.images > 0) parts.set(chunk.name, part);
      await effort.turn();
    }
    const document = index.serve(joinParts(registry, chunks.map((chunk) => ({ part: parts.get(chunk.name) ?? NOTHING, slice: chunk.slice }))), modified);
    if (keep) this.#kept.set(key, { number, parts, document });
    return document;
  }
}

function sizeOf({ entries, lists }: Part): number {
  return entries.size + entries.hashes.length + (lists === undefined ? 0 : lists.size + lists.hashes.length);
}
