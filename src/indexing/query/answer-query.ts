/** Answers a question that no document is kept for. */
import { createHash } from 'node:crypto';
import type { Encoding } from '../snapshot/encodings.ts';
import { compress } from '../snapshot/encodings.ts';
import { entityTag } from '../snapshot/region-writer.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { Effort, MAX_STEPS } from './effort.ts';
import type { Query } from './query.ts';

/** The bytes that answer a question. */
export interface Answer {
  readonly encoding: Encoding;
  readonly body: Buffer;
  /** Strong, quotes included. */
  readonly etag: string;
}

/** The answer to `query` in `encoding`, or as it is where that would not be smaller; `'whole'` if it is all that the index holds. @throws the signal's reason once it is aborted */
export async function answerQuery(snapshot: Snapshot, query: Query, encoding: Encoding, signal?: AbortSignal, maxSteps: number = MAX_STEPS): Promise<Answer | 'whole'> {
  const table = await snapshot.table();
  const images = await table.select(query, snapshot.readRange, new Effort({ signal, maxSteps }));
  if (images.length === table.size) return 'whole';

  const parts = table.compose(snapshot.footer.registry, images);
  const identity = Buffer.concat(await Promise.all(parts.map(async (part) => (typeof part === 'string' ? Buffer.from(part) : snapshot.readRange(part)))));
  return composeAnswer(identity, encoding);
}

/** What answers in `encoding`, or as it is where that would not be smaller. */
export async function composeAnswer(identity: Buffer, encoding: Encoding): Promise<Answer> {
  const compressed = encoding === 'identity' ? identity : await compress(identity, encoding, true);
  const smaller = compressed.length < identity.length;
  const body = smaller ? compressed : identity;
  return { encoding: smaller ? encoding : 'identity', body, etag: entityTag(createHash('sha256').update(body)) };
}
