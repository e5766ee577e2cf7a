/** `/api/events`: rebuilds as they happen (server-sent events, HTML Standard, section 9.2). */
import { PassThrough } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { isLive, type Rebuild } from '../../../triggers/rebuild.ts';
import { networkOf } from '../../http/client-network.ts';
import { suspendTimeout } from '../../http/long-requests.ts';
import { rebuildView } from './rebuild-view.ts';
import { TooManyStreams } from '../../server-error.ts';
import type { CurrentSite, RebuildEvents } from '../../site.ts';

/** Streams at the same time; more are refused. */
const MAX_STREAMS = 200;
/** Of those, what one client may have. */
const MAX_OF_ONE = 40;
/** A word now and then, so that no proxy takes the silence for an end; in milliseconds. */
const HEARTBEAT = 15_000;
/** When a browser that lost the stream asks again, in milliseconds. */
const RETRY = 2_000;


/** Each event is named `rebuild`; its data is a rebuild as `/status` has it. What is returned has another queue be told of; streams that there are end, and whoever reads them asks again. */
export function rebuildEventRoutes(server: FastifyInstance, site: CurrentSite): (queue: RebuildEvents) => void {
  /** With the network of the client. */
  const streams = new Map<PassThrough, string>();
  const tell = (rebuild: Rebuild, always: boolean): void => {
    if (streams.size === 0) return;
    const event = eventText(rebuild);
    // Who does not keep up is not told of every step.
    for (const stream of streams.keys()) if (always || !stream.writableNeedDrain) stream.write(event);
  };
  const tellAll = (rebuild: Rebuild): void => tell(rebuild, true);
  const tellProgress = (rebuild: Rebuild): void => tell(rebuild, false);

  const heartbeat = setInterval(() => {
    for (const stream of streams.keys()) {
      // What was not taken since the last one is not going to be.
      if (stream.writableNeedDrain) stream.destroy();
      else stream.write(':\n\n');
    }
  }, HEARTBEAT);
  heartbeat.unref();
  server.addHook('preClose', async () => {
    clearInterval(heartbeat);
    for (const stream of streams.keys()) stream.end();
  });

  server.get('/api/events', { schema: { summary: 'Rebuilds as they happen, as server-sent events', produces: ['text/event-stream'] } }, (request, reply) => {
    const network = networkOf(request.ip);
    const itsOwn = [...streams.values()].filter((other) => other === network).length;
    if (streams.size >= MAX_STREAMS || itsOwn >= MAX_OF_ONE) throw new TooManyStreams();
    const now = `retry: ${RETRY}\n\n${site().rebuilds.recent().filter(isLive).map(eventText).join('')}`;
    reply.headers({ 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
    suspendTimeout(request);
    const stream = new PassThrough();
    streams.set(stream, network);
    stream.once('close', () => streams.delete(stream));
    stream.write(now);
    return reply.send(stream);
  });

  return (queue) => {
    for (const stream of streams.keys()) stream.end();
    for (const event of ['queued', 'started', 'finished'] as const) queue.on(event, tellAll);
    queue.on('progress', tellProgress);
  };
}

function eventText(rebuild: Rebuild): string {
  return `event: rebuild\ndata: ${JSON.stringify(rebuildView(rebuild))}\n\n`;
}
