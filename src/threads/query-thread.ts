/** The thread that works out answers, so that the thread that sends them never waits for one. */
import { parentPort } from 'node:worker_threads';
import { answerQuery } from '../indexing/query/answer-query.ts';
import type { Query } from '../indexing/query/query.ts';
import type { Encoding } from '../indexing/snapshot/encodings.ts';
import type { SharedSnapshot } from '../indexing/snapshot/snapshot.ts';
import { Snapshot } from '../indexing/snapshot/snapshot.ts';
import { answerCalls } from './calls.ts';

/** An answer in memory that all threads can send from. */
export interface SharedAnswer {
  readonly encoding: Encoding;
  readonly body: SharedArrayBuffer;
  readonly etag: string;
}

const snapshots = new Map<string, Promise<Snapshot>>();

const methods = {
  /** From now on, questions to the index are answered from this snapshot. */
  async use(_signal: AbortSignal, shared: SharedSnapshot): Promise<void> {
    const { index } = shared.footer;
    const before = snapshots.get(index);
    const snapshot = Snapshot.openShared(shared);
    snapshots.set(index, snapshot);
    await snapshot;
    await (await before)?.close();
  },

  /** `'whole'` if the answer is all that the index holds. */
  async answer(_signal: AbortSignal, index: string, query: Query, encoding: Encoding): Promise<SharedAnswer | 'whole'> {
    const snapshot = await snapshots.get(index);
    if (snapshot === undefined) throw new RangeError(`no index ${index}`);
    const answer = await answerQuery(snapshot, query, encoding);
    if (answer === 'whole') return answer;
    const body = new SharedArrayBuffer(answer.body.length);
    answer.body.copy(new Uint8Array(body));
    return { ...answer, body };
  },
};
export type QueryMethods = typeof methods;

if (parentPort) answerCalls(parentPort, methods);
