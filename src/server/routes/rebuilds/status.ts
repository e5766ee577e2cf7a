/** What the server is at: each index, the rebuilds, the bus. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { FastifyInstance } from 'fastify';
import type { Rebuild } from '../../../triggers/rebuild.ts';
import type { ServedIndex } from '../../documents/served-index.ts';
import { StatusAnswer } from '../../answer-schemas.ts';
import { isoTime, rebuildView } from './rebuild-view.ts';
import type { CurrentSite } from '../../site.ts';
import type { EventCounts } from '../../figures.ts';

/** How often the delay of the event loop is measured, in milliseconds. */
const DELAY_RESOLUTION = 20;


export interface StatusRoutesOptions {
  readonly site: CurrentSite;
  readonly version: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly events: EventCounts;
}

export function statusRoutes(app: FastifyInstance, { site, version, startedAt, events }: StatusRoutesOptions): void {
  const eventLoopDelay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION });
  // While the server is put together nobody waits for it.
  app.addHook('onReady', async () => {
    eventLoopDelay.enable();
  });
  app.addHook('onClose', async () => {
    eventLoopDelay.disable();
  });

  app.get('/status', { schema: { summary: 'What the server is at' }, config: { answers: { 200: StatusAnswer } } }, (_request, reply) => {
    const { status, indexes, basePath, rebuilds: queue } = site();
    const rebuilds = queue.recent();
    const bus = status.bus();
    const warnings = status.warnings();
    return reply.header('cache-control', 'no-store').send({
      version,
      startedAt: isoTime(startedAt),
      indexes: [...indexes.values()].map((index) => indexStatus(index, status.registryOf(index.name), warnings.get(index.name) ?? [], rebuilds, basePath)),
      rebuilds: rebuilds.map(rebuildView),
      bus: bus === undefined ? null : { ...bus, since: isoTime(bus.since), ...(bus.lastError && { lastError: { ...bus.lastError, at: isoTime(bus.lastError.at) } }) },
      events,
      // Of this thread since it answers, in milliseconds.
      eventLoopDelay: { p99: beyondResolution(eventLoopDelay.percentile(99)), max: beyondResolution(eventLoopDelay.max) },
    });
  });
}

function indexStatus(index: ServedIndex, registry: string | undefined, warnings: readonly string[], rebuilds: readonly Rebuild[], basePath: string): Record<string, unknown> {
  const { shown } = index;
  const last = rebuilds.find((rebuild) => rebuild.registry === registry && rebuild.finishedAt !== undefined);
  const result = last?.result?.indexes.find((candidate) => candidate.index === index.name);
  return {
    name: index.name,
    registry,
    file: `${basePath}/index/${index.fileName}.json`,
    ready: shown !== undefined,
    warnings: [...new Set([...warnings, ...(result?.warnings ?? [])])],
    ...(shown !== undefined && {
      images: shown.whole.images,
      bytes: shown.whole.length,
      etag: shown.whole.tag,
      modified: isoTime(shown.publication.modified),
    }),
    ...(result?.held && { held: result.held }),
    ...(last?.finishedAt !== undefined && {
      lastRebuild: {
        id: last.id,
        state: last.state,
        finishedAt: isoTime(last.finishedAt),
        seconds: (last.finishedAt - (last.startedAt ?? last.finishedAt)) / 1000,
        ...(result && { changed: result.changed, warnings: result.warnings }),
        ...((result?.error ?? last.error) !== undefined && { error: result?.error ?? last.error }),
      },
    }),
  };
}

/** What is measured, in nanoseconds, is the time from one measurement to the next; its delay is what that takes longer than it should. */
function beyondResolution(nanoseconds: number): number {
  return Math.max(0, Math.round(nanoseconds / 10_000) / 100 - DELAY_RESOLUTION);
}
