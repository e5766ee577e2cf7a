/** Answers to questions that no document is kept for: each worked out once, the last ones kept. */
import { LRUCache } from 'lru-cache';
import type { Query } from '../indexing/query/query.ts';
import type { Encoding } from '../indexing/snapshot/encodings.ts';
import type { PublishedIndex, Served } from './published-index.ts';
import { TooBusy } from './server-error.ts';

/** Works out an answer, off this thread. */
export type AnswerQuery = (index: string, query: Query, encoding: Encoding) => Promise<{ readonly encoding: Encoding; readonly body: Buffer; readonly etag: string } | 'whole'>;

export interface AnswersOptions {
  readonly answer: AnswerQuery;
  /** Bytes of bodies to keep. */
  readonly maxBytes: number;
  /** Answers being worked out at the same time; more are refused. */
  readonly maxWaiting: number;
}

export class Answers {
  readonly #options: AnswersOptions;
  readonly #kept: LRUCache<string, Served>;
  readonly #waiting = new Map<string, Promise<Served>>();

  constructor(options: AnswersOptions) {
    this.#options = options;
    this.#kept = new LRUCache({ maxSize: options.maxBytes, sizeCalculation: ({ body }) => body.length + 512 });
  }

  /**
   * The answer of `index` to `query`. Equal questions at the same time are worked out once.
   * @throws TooBusy if too many others wait
   */
  async get(index: PublishedIndex, query: Query, encoding: Encoding, keep: boolean): Promise<Served> {
    const key = `${index.name} ${index.generation} ${encoding} ${query.canonical}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept;
    let waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      if (this.#waiting.size >= this.#options.maxWaiting) throw new TooBusy();
      waiting = this.#workOut(index, query, encoding).finally(() => this.#waiting.delete(key));
      this.#waiting.set(key, waiting);
    }
    const served = await waiting;
    if (keep) this.#kept.set(key, served);
    return served;
  }

  async #workOut(index: PublishedIndex, query: Query, encoding: Encoding): Promise<Served> {
    const answer = await this.#options.answer(index.name, query, encoding);
    if (answer !== 'whole') return index.serve(answer.encoding, answer.etag, answer.body);
    const whole = index.document('');
    const served = whole?.get(encoding) ?? whole?.get('identity');
    if (served === undefined) throw new Error(`the index ${index.name} has no whole document`);
    return served;
  }
}
