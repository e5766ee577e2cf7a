/** Waiting beside many others: for an abort, or for what an abort ends. */

const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `run` when `signal` is aborted, unless the function that it returns was called before. All who wait for one signal share
 * one listener: adding and removing one for each request would cost as much as sending it.
 */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  const runs = waiting.get(signal) ?? listen(signal);
  runs.add(run);
  return () => runs.delete(run);
}

/** Waits for what others wait for too: an abort ends only this wait. */
export function untilAborted<T>(shared: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return shared;
  return new Promise((resolve, reject) => {
    const forgetAbort = onAbort(signal, () => reject(signal.reason));
    shared.then(resolve, reject).finally(forgetAbort);
  });
}

function listen(signal: AbortSignal): Set<() => void> {
  const runs = new Set<() => void>();
  waiting.set(signal, runs);
  signal.addEventListener('abort', () => runs.forEach((run) => run()), { once: true });
  return runs;
}
