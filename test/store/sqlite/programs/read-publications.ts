/** A thread that reads the publication of an index again and again, until it is told to end; counts how often. */
import { parentPort, workerData } from 'node:worker_threads';
import { SqlitePublicationReader } from '../../../../src/store/sqlite/sqlite-publications.ts';

const { file, counts } = workerData as { file: string; counts: Int32Array };
const reader = SqlitePublicationReader.openForReading(file);
parentPort?.postMessage('reads');
while (Atomics.load(counts, 1) === 0) {
  const publication = await reader.publication('apps');
  const heads = await reader.chunkHeads(publication?.chunks ?? []);
  if (heads.size === 0) throw new Error('nothing is published');
  Atomics.add(counts, 0, 1);
}
await reader.close();
