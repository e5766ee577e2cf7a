/** Waits for aborts with one listener for each signal. */

const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `run` when `signal` is aborted; the returned function cancels that. Callers share one listener for each signal,
 * because adding and removing one for each request would cost as much as sending it.
 */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  const runs = waiting.get(signal) ?? listen(signal);
  runs.add(run);
  return () => runs.delete(run);
}

/** Waits for a shared promise; rejects with the signal's reason on abort, while others wait on. */
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
