/** Clients that wait for long with a reason. */
import type { FastifyRequest } from 'fastify';

/** The connection of `request` may be silent while it is answered, however long that takes; or until what this returns is called. */
export function letWait({ raw }: FastifyRequest): () => void {
  // A session of HTTP/2 is bounded by what it does, not by silence.
  if (raw.httpVersionMajor === 2) return () => undefined;
  // A request that was injected has no connection.
  const { socket }: { socket: Partial<typeof raw.socket> } = raw;
  const { timeout = 0 } = socket;
  socket.setTimeout?.(0);
  return () => socket.setTimeout?.(timeout);
}
