/** Starts a thread of this folder. */
import { extname } from 'node:path';
import type { WorkerOptions } from 'node:worker_threads';
import { Worker } from 'node:worker_threads';

export type ThreadName = 'build-thread' | 'query-thread' | 'serve-thread';

/** The thread runs `NAME.ts` beside this file, or `NAME.js` once that is built. */
export function startThread(name: ThreadName, options: Pick<WorkerOptions, 'workerData' | 'resourceLimits'> = {}): Worker {
  return new Worker(new URL(beside('thread'), import.meta.url), { ...options, argv: [beside(name)], name });
}

function beside(module: string): string {
  return `./${module}${extname(import.meta.filename)}`;
}
