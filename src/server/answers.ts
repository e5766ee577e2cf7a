/** Answers to questions that no document is kept for: each worked out once, the last ones kept. */
import { LRUCache } from 'lru-cache';
import type { AppView } from '../indexing/appdata/app-views.ts';
import { viewKey } from '../indexing/appdata/app-views.ts';
import type { Query } from '../indexing/query/query.ts';
import type { Encoding } from '../indexing/snapshot/encodings.ts';
import { untilAborted } from '../on-abort.ts';
import { TooBusy } from './server-error.ts';

/** What is asked, of what, and how the answer is wanted. All of it can be cloned. */
export interface Question {
  readonly index: string;
  /** The `etag` of the snapshot that is asked. */
  readonly snapshot: string;
  readonly query: Query;
  /** Asks for this instead of the images of the query. */
  readonly view?: AppView;
  readonly encoding: Encoding;
  /** It will be asked again. */
  readonly keep: boolean;
  /** Who asks: each has a share of the places. */
  readonly from?: string;
}

/** The bytes that answer a question. */
export interface Answer {
  /** The `etag` of the snapshot that has answered: of another one than was asked, if that was just replaced. */
  readonly snapshot: string;
  /** `identity` where the one that was wanted would not be smaller. */
  readonly encoding: Encoding;
  readonly body: Buffer;
  readonly etag: string;
}

/**
 * Works out an answer, off this thread; `'whole'` if it is all that the snapshot asked holds. The signal is aborted when nobody waits for it
 * any more; then it rejects.
 */
export type AnswerQuery = (question: Question, signal?: AbortSignal) => Promise<Answer | 'whole'>;

/** How many questions were answered by what was kept, and how many were not. */
export interface QueryCounts {
  hits: number;
  misses: number;
}

export interface AnswersOptions {
  readonly answer: AnswerQuery;
  /** Bytes to keep; {@link MAX_ANSWER_BYTES} unless given. */
  readonly maxBytes?: number;
  /** Answers that may be waited for at the same time, more are refused; {@link MAX_WAITING_ANSWERS} unless given. Views have as many places of their own. */
  readonly maxWaiting?: number;
  /** Counted up. */
  readonly counts?: QueryCounts;
}

export const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
export const MAX_WAITING_ANSWERS = 64;
/** The part of them that one client may have. */
const SHARE = 1 / 4;
/** Questions being worked out at the same time; the others wait for their turn. */
const MAX_RUNNING = 2;
/** What keeping an answer takes beside its body and twice its key. */
const OVERHEAD = 512;

/** A question that is waited for. */
interface Waiting {
  readonly isView: boolean;
  readonly from: string;
  readonly answered: Promise<Answer | 'whole'>;
  askers: number;
  /** Ends the work. */
  readonly unasked: AbortController;
}

export class Answers {
  readonly #answer: AnswerQuery;
  readonly #maxWaiting: number;
  readonly #kept: LRUCache<string, Answer | 'whole'>;
  readonly #waiting = new Map<string, Waiting>();
  readonly #counts: QueryCounts;
  /** What begins each question that waits for its turn, by who asks; they take turns. */
  readonly #queue = new Map<string, (() => void)[]>();
  #running = 0;

  constructor({ answer, maxBytes = MAX_ANSWER_BYTES, maxWaiting = MAX_WAITING_ANSWERS, counts = { hits: 0, misses: 0 } }: AnswersOptions) {
    this.#answer = answer;
    this.#maxWaiting = maxWaiting;
    this.#counts = counts;
    this.#kept = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: (answered, key) => OVERHEAD + 2 * key.length + (answered === 'whole' ? 0 : answered.body.length),
    });
  }

  /**
   * The answer, at once if it is kept. Equal questions at the same time are worked out once, as long as somebody waits.
   * Rejects with TooBusy if too many others wait, and with the signal's reason.
   */
  readonly answer: AnswerQuery = async (question, signal) => {
    const key = `${question.index} ${question.snapshot} ${question.encoding} ${question.view === undefined ? question.query.canonical : viewKey(question.view)}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined) {
      this.#counts.hits++;
      return kept;
    }
    this.#counts.misses++;
    signal?.throwIfAborted();
    const answered = await this.#wait(key, this.#waiting.get(key) ?? this.#begin(key, question), signal);
    if (question.keep && (answered === 'whole' || answered.snapshot === question.snapshot)) this.#kept.set(key, answered);
    return answered;
  };

  #begin(key: string, question: Question): Waiting {
    const { from = '', view } = question;
    const isView = view !== undefined;
    // No question takes a place from the page and the API.
    const others = [...this.#waiting.values()].filter((other) => other.isView === isView);
    const itsOwn = isView ? 0 : others.filter((other) => other.from === from).length;
    if (others.length >= this.#maxWaiting || itsOwn >= Math.ceil(this.#maxWaiting * SHARE)) throw new TooBusy();
    const unasked = new AbortController();
    const answered = isView ? this.#answer(question, unasked.signal) : this.#inTurn(question, from, unasked.signal);
    const waiting: Waiting = { isView, from, answered, askers: 0, unasked };
    this.#waiting.set(key, waiting);
    return waiting;
  }

  async #inTurn(question: Question, from: string, signal: AbortSignal): Promise<Answer | 'whole'> {
    const { promise: turn, resolve: begin } = Promise.withResolvers<void>();
    this.#queue.set(from, [...(this.#queue.get(from) ?? []), begin]);
    this.#beginNext();
    await turn;
    try {
      signal.throwIfAborted();
      return await this.#answer(question, signal);
    } finally {
      this.#running--;
      this.#beginNext();
    }
  }

  #beginNext(): void {
    for (const [from, [begin, ...others]] of this.#queue) {
      if (this.#running >= MAX_RUNNING) return;
      // Whoever had a turn comes last.
      this.#queue.delete(from);
      if (others.length > 0) this.#queue.set(from, others);
      this.#running++;
      begin?.();
    }
  }

  async #wait(key: string, waiting: Waiting, signal: AbortSignal | undefined): Promise<Answer | 'whole'> {
    waiting.askers++;
    try {
      return await untilAborted(waiting.answered, signal);
    } finally {
      // The last one has the answer, or takes the question along: who asks the same now begins anew.
      if (--waiting.askers === 0) {
        this.#waiting.delete(key);
        waiting.unasked.abort();
      }
    }
  }
}
