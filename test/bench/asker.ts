/** A client that asks a server for some cases without end, and counts what comes. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Agent, Dispatcher } from 'undici';
import type { Case } from './serve-rates.ts';
import type { Cell, Table } from './table.ts';

/** Between two rounds of requests, in milliseconds. */
const PAUSE = 5;

export interface AskerOptions {
  readonly agent: Agent;
  /** Where to ask for a case. */
  readonly urlOf: (each: Case) => string;
  /** Says whether an answer is as it should be. */
  readonly isRight: (
    each: Case,
    answer: Pick<Dispatcher.ResponseData, 'statusCode' | 'headers'>,
    body: Buffer,
  ) => boolean;
  /** Sent besides those of the case. */
  readonly headersOf?: (each: Case) => Readonly<Record<string, string>>;
}

/** Asks for all cases, one at a time, again and again. */
export class Asker {
  readonly #options: AskerOptions;
  #requests = 0;
  #failures = 0;
  #slowest = 0;

  constructor(options: AskerOptions) {
    this.#options = options;
  }

  async askUntil(end: AbortSignal, cases: readonly Case[]): Promise<void> {
    while (!end.aborted) {
      for (const each of cases) await this.#ask(each);
      await pause(PAUSE);
    }
  }

  /**
   * The cells of {@link DELAY_COLUMNS}: requests, failed ones, the slowest in milliseconds, and the delays of the
   * server's event loop.
   */
  row(name: string, { p99, max }: { readonly p99: number; readonly max: number }): readonly Cell[] {
    return [name, this.#requests, this.#failures, this.#slowest, p99, max];
  }

  async #ask(each: Case): Promise<void> {
    const { agent, urlOf, isRight, headersOf } = this.#options;
    const url = new URL(urlOf(each));
    const asked = performance.now();
    this.#requests++;
    try {
      const answer = await agent.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: 'GET',
        headers: { ...each.headers, ...headersOf?.(each) },
      });
      if (!isRight(each, answer, Buffer.from(await answer.body.arrayBuffer()))) this.#failures++;
    } catch {
      this.#failures++;
    }
    this.#slowest = Math.max(this.#slowest, performance.now() - asked);
  }
}

export const DELAY_COLUMNS: Table['columns'] = [
  { name: 'server' },
  { name: 'requests' },
  { name: 'failed' },
  { name: 'slowest ms', digits: 1 },
  { name: 'event-loop delay: p99 ms', digits: 1 },
  { name: 'max ms', digits: 1 },
];
