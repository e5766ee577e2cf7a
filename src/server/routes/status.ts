/** What the server is at: each index, the rebuilds, the bus. */
import type { FastifyInstance } from 'fastify';
import type { Rebuild } from '../../triggers/rebuild.ts';
import type { BusStatus } from '../../triggers/bus/bus.ts';
import type { PublishedIndex } from '../published-index.ts';
import { isoTime, rebuildView } from '../rebuild-view.ts';
import type { EventCounts } from './events.ts';

export interface StatusRoutesOptions {
  readonly version: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly indexes: ReadonlyMap<string, PublishedIndex>;
  /** The registry of each index. */
  readonly registryOf: (index: string) => string | undefined;
  /** The newest first. */
  readonly rebuilds: () => readonly Rebuild[];
  readonly bus: () => BusStatus | undefined;
  readonly events: EventCounts;
}

export function statusRoutes(app: FastifyInstance, options: StatusRoutesOptions): void {
  app.get('/status', (_request, reply) => {
    const rebuilds = options.rebuilds();
    const bus = options.bus();
    return reply.header('cache-control', 'no-store').send({
      version: options.version,
      startedAt: isoTime(options.startedAt),
      indexes: [...options.indexes.values()].map((index) => indexStatus(index, options.registryOf(index.name), rebuilds)),
      rebuilds: rebuilds.map(rebuildView),
      bus: bus === undefined ? null : { ...bus, since: isoTime(bus.since), ...(bus.lastError && { lastError: { ...bus.lastError, at: isoTime(bus.lastError.at) } }) },
      events: options.events,
    });
  });
}

function indexStatus(index: PublishedIndex, registry: string | undefined, rebuilds: readonly Rebuild[]): Record<string, unknown> {
  const whole = index.snapshot?.document('');
  const last = rebuilds.find((rebuild) => rebuild.registry === registry && rebuild.finishedAt !== undefined);
  const result = last?.result?.indexes.find((candidate) => candidate.index === index.name);
  return {
    name: index.name,
    registry,
    file: `/index/${index.fileName}.json`,
    ready: whole !== undefined,
    ...(whole !== undefined && {
      images: whole.images,
      bytes: whole.representations.identity.length,
      digest: digestOfTag(whole.representations.identity.etag),
      modified: isoTime(index.snapshot?.footer.modified ?? 0),
    }),
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

/** An entity tag is the base64url of a sha256; this is the digest of the same bytes. */
function digestOfTag(etag: string): string {
  return `sha256:${Buffer.from(etag.slice(1, -1), 'base64url').toString('hex')}`;
}
