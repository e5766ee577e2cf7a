/** The thread that makes deltas, as the main thread uses it. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { DeltaLimits } from '../indexing/deltas/delta-queue.ts';
import type { DeltaOutcome, PendingDelta } from '../store/deltas.ts';
import { Calls, unlessEnded } from './calls.ts';
import type { DeltaWorkerMethods, DeltaWorkerOptions } from './delta-worker.ts';

/** `start-delta-worker.js` in the published package. */
const THREAD = new URL(`./start-delta-worker${extname(import.meta.filename)}`, import.meta.url);

/** Makes deltas in a thread of its own, which is started on first use. */
export class DeltaThread {
  readonly #options: DeltaWorkerOptions;
  #calls: Calls<DeltaWorkerMethods> | undefined;

  constructor(options: DeltaWorkerOptions) {
    this.#options = options;
  }

  /** Makes a delta; rejects if it may succeed later. */
  make(delta: PendingDelta, limits: DeltaLimits): Promise<DeltaOutcome> {
    return this.#started().call('make', [delta, limits]);
  }

  /** Returns a piece of the delta that was made last, counted from 0. */
  piece(position: number): Promise<Uint8Array> {
    return this.#started().call('piece', [position]);
  }

  /** Ends the thread, whatever it does; what it has in temporary files is gone with it. */
  async close(): Promise<void> {
    const calls = this.#calls;
    this.#calls = undefined;
    await calls?.terminate();
  }

  #started(): Calls<DeltaWorkerMethods> {
    if (this.#calls === undefined) {
      const calls = new Calls<DeltaWorkerMethods>(new Worker(THREAD, { name: 'deltas' }), {
        onExit: () => {
          if (this.#calls === calls) this.#calls = undefined;
        },
      });
      calls.call('configure', [this.#options]).catch(unlessEnded);
      this.#calls = calls;
    }
    return this.#calls;
  }
}
