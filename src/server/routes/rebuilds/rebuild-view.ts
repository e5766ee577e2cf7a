/** A rebuild as it is told over HTTP. */
import type { Rebuild } from '../../../triggers/rebuild.ts';
import { describeScope } from '../../../triggers/rebuild-scope.ts';

/** Times in ISO 8601; the rest as in {@link Rebuild}. */
export function rebuildView(rebuild: Rebuild): Record<string, unknown> {
  const { queuedAt, dueAt, startedAt, finishedAt, scope, rebuilds, ...rest } = rebuild;
  return {
    ...rest,
    scope: describeScope(scope),
    queuedAt: isoTime(queuedAt),
    ...(dueAt !== undefined && { dueAt: isoTime(dueAt) }),
    ...(startedAt !== undefined && { startedAt: isoTime(startedAt) }),
    ...(finishedAt !== undefined && { finishedAt: isoTime(finishedAt) }),
    ...(rebuilds !== undefined && { rebuilds: rebuilds.map(rebuildView) }),
  };
}

/** Milliseconds since the epoch as ISO 8601. */
export function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
