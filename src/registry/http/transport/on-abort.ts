/** Waiting for an abort beside many others. */

const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `run` when `signal` is aborted, unless the function that it returns was called before. All who wait for one signal share
 * one listener: adding and removing one for each request would cost as much as sending it.
 */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  let runs = waiting.get(signal);
  if (runs === undefined) {
    runs = new Set();
    waiting.set(signal, runs);
    const all = runs;
    signal.addEventListener('abort', () => all.forEach((each) => each()), { once: true });
  }
  const its = runs.add(run);
  return () => its.delete(run);
}
