/** `/api/events`: progress of rebuilds as server-sent events (HTML Standard, section 9.2). */
import { PassThrough } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { isLive, type Rebuild } from '../../../triggers/rebuild.ts';
import { networkOf } from '../../http/client-network.ts';
import { suspendTimeout } from '../../http/long-requests.ts';
import { PublicView } from './public-view.ts';
import { rebuildView } from './rebuild-view.ts';
import { TooManyStreams } from '../../server-error.ts';
import type { CurrentSite, RebuildEvents } from '../../site.ts';

/** Concurrent streams; more are refused. */
const MAX_STREAMS = 200;
/** Concurrent streams of one client. */
const MAX_OF_ONE = 40;
/** Interval of comments that keep proxies from closing an idle stream, in milliseconds. */
const HEARTBEAT = 15_000;
/** When a browser reconnects after it lost the stream, in milliseconds. */
const RETRY = 2_000;

/**
 * Adds `/api/events`. Each event is named `rebuild`; its data is a rebuild as in `/status`.
 * Returns a function that follows another queue; it ends all streams, and clients reconnect.
 */
export function rebuildEventRoutes(server: FastifyInstance, site: CurrentSite): (queue: RebuildEvents) => void {
  /** Open streams, with the network of the client. */
  const streams = new Map<PassThrough, string>();
  const send = (rebuild: Rebuild, always: boolean): void => {
    if (streams.size === 0) return;
    const event = eventText(new PublicView(site()).rebuild(rebuild));
    // Slow clients miss steps of progress.
    for (const stream of streams.keys()) if (always || !stream.writableNeedDrain) stream.write(event);
  };
  const sendChange = (rebuild: Rebuild): void => send(rebuild, true);
  const sendProgress = (rebuild: Rebuild): void => send(rebuild, false);

  const heartbeat = setInterval(() => {
    for (const stream of streams.keys()) {
      // The client has stalled since the last heartbeat.
      if (stream.writableNeedDrain) stream.destroy();
      else stream.write(':\n\n');
    }
  }, HEARTBEAT);
  heartbeat.unref();
  server.addHook('preClose', async () => {
    clearInterval(heartbeat);
    for (const stream of streams.keys()) stream.end();
  });

  server.get(
    '/api/events',
    { schema: { summary: 'Progress of rebuilds, as server-sent events', produces: ['text/event-stream'] } },
    (request, reply) => {
      const network = networkOf(request.ip);
      const itsOwn = [...streams.values()].filter((other) => other === network).length;
      if (streams.size >= MAX_STREAMS || itsOwn >= MAX_OF_ONE) throw new TooManyStreams();
      const view = new PublicView(site());
      const live = site().rebuilds.recent().filter(isLive);
      const now = `retry: ${RETRY}\n\n${live.map((rebuild) => eventText(view.rebuild(rebuild))).join('')}`;
      reply.headers({
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      });
      suspendTimeout(request);
      const stream = new PassThrough();
      streams.set(stream, network);
      stream.once('close', () => streams.delete(stream));
      stream.write(now);
      return reply.send(stream);
    },
  );

  return (queue) => {
    for (const stream of streams.keys()) stream.end();
    for (const event of ['queued', 'started', 'finished'] as const) queue.on(event, sendChange);
    queue.on('progress', sendProgress);
  };
}

function eventText(rebuild: Rebuild): string {
  return `event: rebuild\ndata: ${JSON.stringify(rebuildView(rebuild))}\n\n`;
}
