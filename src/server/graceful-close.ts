/** Stops a server: no new connections, the requests under way to their end, and not for ever. */
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

/** How often connections are closed that became idle while the server stops, in milliseconds. */
const IDLE_INTERVAL = 50;

/**
 * Must be called before the server listens; returns what stops it. Requests that have not ended after `graceMs`
 * milliseconds are cut off.
 */
export function gracefulClose(app: FastifyInstance): (graceMs: number) => Promise<void> {
  const sockets = new Set<Socket>();
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return async (graceMs) => {
    const idle = setInterval(() => app.server.closeIdleConnections(), IDLE_INTERVAL);
    const grace = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    try {
      await app.close();
    } finally {
      clearInterval(idle);
      clearTimeout(grace);
    }
  };
}
