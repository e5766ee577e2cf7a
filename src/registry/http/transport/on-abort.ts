/** Waiting for an abort beside many others. */

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

function listen(signal: AbortSignal): Set<() => void> {
  const runs = new Set<() => void>();
  waiting.set(signal, runs);
  signal.addEventListener('abort', () => runs.forEach((run) => run()), { once: true });
  return runs;
}
