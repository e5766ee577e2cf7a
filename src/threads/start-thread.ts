/** Starts a thread of this folder. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';

export type ThreadName = 'build-thread';

/** The thread runs `NAME.ts` beside this file, or `NAME.js` once that is built. */
export function startThread(name: ThreadName, workerData?: unknown): Worker {
  return new Worker(new URL(beside('thread'), import.meta.url), { argv: [beside(name)], workerData, name });
}

function beside(module: string): string {
  return `./${module}${extname(import.meta.filename)}`;
}
