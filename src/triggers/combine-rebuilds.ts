/** Combines the rebuilds of several registries into one. */
import { mergeScopes, EMPTY_SCOPE } from './rebuild-scope.ts';
import type { Rebuild, RebuildState } from './rebuild.ts';

/**
 * The combined state of `rebuilds` as a rebuild with this id.
 * @param queuedAt when it was requested, in milliseconds since the epoch
 */
export function combineRebuilds(id: string, queuedAt: number, rebuilds: readonly Rebuild[]): Rebuild {
  const state = stateOf(rebuilds);
  const started = rebuilds.flatMap(({ startedAt }) => startedAt ?? []);
  const finished = rebuilds.flatMap(({ finishedAt }) => finishedAt ?? []);
  const errors = rebuilds.flatMap(({ registry, error }) => (error === undefined ? [] : `${registry}: ${error}`));
  return {
    id,
    rebuilds,
    reasons: [...new Set(rebuilds.flatMap(({ reasons }) => reasons))],
    otherReasons: Math.max(0, ...rebuilds.map(({ otherReasons }) => otherReasons)),
    scope: rebuilds.map(({ scope }) => scope).reduce(mergeScopes, EMPTY_SCOPE),
    state,
    queuedAt,
    ...(started.length > 0 && { startedAt: Math.min(...started) }),
    ...(hasEnded(state) && { finishedAt: Math.max(queuedAt, ...finished) }),
    ...(errors.length > 0 && { error: errors.join('; ') }),
  };
}

/** Says whether the state is final. */
function hasEnded(state: RebuildState): boolean {
  return state === 'done' || state === 'failed';
}

function stateOf(rebuilds: readonly Rebuild[]): RebuildState {
  const states = new Set(rebuilds.map(({ state }) => state));
  if ([...states].every(hasEnded)) return states.has('failed') ? 'failed' : 'done';
  return states.size === 1 && states.has('queued') ? 'queued' : 'running';
}
