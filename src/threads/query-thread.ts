/** The thread that works out answers, so that the thread that sends them never waits for one. */
import { parentPort } from 'node:worker_threads';
import type { AppView } from '../indexing/appdata/app-views.ts';
import { viewApps } from '../indexing/appdata/app-views.ts';
import type { Answer as ComposedAnswer } from '../indexing/query/answer-query.ts';
import { answerQuery, composeAnswer } from '../indexing/query/answer-query.ts';
import type { Query } from '../indexing/query/query.ts';
import type { Encoding } from '../indexing/snapshot/encodings.ts';
import type { SharedSnapshot } from '../indexing/snapshot/snapshot.ts';
import { Snapshot } from '../indexing/snapshot/snapshot.ts';
import type { Answer } from '../server/answers.ts';
import { answerCalls, Moved } from './calls.ts';

/** An answer as it is handed over. Not in shared memory: V8 does not count that, and would free what is not kept any more only by chance. */
export interface MovedAnswer extends Omit<Answer, 'body'> {
  readonly body: ArrayBuffer;
}

const snapshots = new Map<string, Promise<Snapshot | undefined>>();

const methods = {
  /** From now on, questions to the index are answered from this snapshot; from the one before if this cannot be opened. */
  async use(_signal: AbortSignal, shared: SharedSnapshot): Promise<void> {
    const { index } = shared.footer;
    const before = snapshots.get(index);
    const opening = Snapshot.openShared(shared);
    snapshots.set(index, opening.catch(() => before));
    await opening;
    await (await before)?.close();
  },

  /** `'whole'` if the answer is all that the snapshot with the etag `asked` holds. */
  async answer(signal: AbortSignal, index: string, asked: string, question: Query | AppView, encoding: Encoding): Promise<Moved<MovedAnswer> | 'whole'> {
    const snapshot = await snapshots.get(index);
    if (snapshot === undefined) throw new RangeError(`no index ${index}`);
    const answer = await snapshot.reading(async () => {
      if (!('conditions' in question)) return composeAnswer(Buffer.from(JSON.stringify(await viewApps(snapshot, question))), encoding);
      const answered = await answerQuery(snapshot, question, encoding, signal);
      return answered === 'whole' && snapshot.etag !== asked ? wholeOf(snapshot, encoding) : answered;
    });
    if (answer === 'whole') return answer;
    // Of its own: what a coder gives out may be the beginning of a much larger buffer.
    const body = new ArrayBuffer(answer.body.length);
    answer.body.copy(new Uint8Array(body));
    return new Moved({ snapshot: snapshot.etag, encoding: answer.encoding, body, etag: answer.etag }, [body]);
  },
};
export type QueryMethods = typeof methods;

async function wholeOf(snapshot: Snapshot, wanted: Encoding): Promise<ComposedAnswer> {
  const representations = snapshot.document('')?.representations;
  if (representations === undefined) throw new RangeError(`the index ${snapshot.footer.index} has no whole document`);
  const encoding = representations[wanted] === undefined ? 'identity' : wanted;
  const { etag, ...region } = representations[wanted] ?? representations.identity;
  return { encoding, etag, body: await snapshot.read(region) };
}

if (parentPort) answerCalls(parentPort, methods);
