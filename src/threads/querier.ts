/** The query thread, seen from the thread that serves. */
import type { Snapshot } from '../indexing/snapshot/snapshot.ts';
import type { AnswerQuery } from '../server/answers.ts';
import { Calls, unlessEnded } from './calls.ts';
import type { QueryMethods } from './query-thread.ts';
import { startThread } from './start-thread.ts';

/** Works out answers in a thread of its own, which is started when it is first needed, and again should it ever die. */
export class Querier {
  readonly #onExit: (error: Error) => void;
  readonly #snapshots = new Map<string, Snapshot>();
  #calls: Calls<QueryMethods> | undefined;

  /** @param onExit told when the thread has ended without having been asked to; the next question starts another */
  constructor(onExit: (error: Error) => void) {
    this.#onExit = onExit;
  }

  /** Questions to the index are answered from `snapshot` from now on. */
  async use(snapshot: Snapshot): Promise<void> {
    this.#snapshots.set(snapshot.footer.index, snapshot);
    // A thread that has ended: the next one starts with the snapshots there are then.
    await this.#calls?.call('use', [snapshot.share()]).catch(unlessEnded);
  }

  readonly answer: AnswerQuery = async ({ index, snapshot, query, encoding, view }, signal) => {
    const answer = await this.#started().call('answer', [index, snapshot, view ?? query, encoding], signal);
    return answer === 'whole' ? answer : { ...answer, body: Buffer.from(answer.body) };
  };

  async close(): Promise<void> {
    await this.#calls?.terminate();
  }

  #started(): Calls<QueryMethods> {
    if (this.#calls !== undefined) return this.#calls;
    const calls = new Calls<QueryMethods>(startThread('query-thread'), {
      onExit: (error) => {
        this.#calls = undefined;
        this.#onExit(error);
      },
    });
    this.#calls = calls;
    // Calls are answered in their order as far as the thread's state goes: a question comes after its snapshot.
    for (const snapshot of this.#snapshots.values()) void calls.call('use', [snapshot.share()]).catch(unlessEnded).catch(this.#onExit);
    return calls;
  }
}
