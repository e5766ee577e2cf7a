/** Starts a thread of this folder. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';

/** In MB. What a rebuild reads and what an answer is made of is soon garbage: more room for it would save no time, and take 100 MB. */
const MAX_YOUNG_GENERATION = 24;

export type ThreadName = 'build-thread';

/** The thread runs `NAME.ts` beside this file, or `NAME.js` once that is built. */
export function startThread(name: ThreadName, workerData?: unknown): Worker {
  return new Worker(new URL(beside('thread'), import.meta.url), { argv: [beside(name)], workerData, name, resourceLimits: { maxYoungGenerationSizeMb: MAX_YOUNG_GENERATION } });
}

function beside(module: string): string {
  return `./${module}${extname(import.meta.filename)}`;
}
