/** Starts a thread of this folder. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';

/** The thread runs `NAME.ts` beside this file, or `NAME.js` once that is built. */
export function startThread(name: 'build-thread' | 'query-thread' | 'serve-thread', workerData?: unknown): Worker {
  return new Worker(new URL(`./${name}${extname(import.meta.filename)}`, import.meta.url), { workerData, name });
}
