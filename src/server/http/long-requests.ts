/** Requests that take longer than the connection's timeout allows. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RequestAborted } from '../server-error.ts';

/** Suspends the timeout of the request's connection, and returns what restores it. */
export function suspendTimeout({ raw }: FastifyRequest): () => void {
  // HTTP/2 sessions have no timeout: `Http2Sessions` limits them.
  if (raw.httpVersionMajor === 2) return () => undefined;
  // An injected request has no connection.
  const { socket }: { socket: Partial<typeof raw.socket> } = raw;
  const { timeout = 0 } = socket;
  socket.setTimeout?.(0);
  return () => socket.setTimeout?.(timeout);
}

/**
 * Returns a controller that aborts with {@link RequestAborted} when the response closes; the caller may abort it
 * earlier.
 */
export function abortOnClose({ raw }: FastifyReply): AbortController {
  const closed = new AbortController();
  raw.once('close', () => closed.abort(new RequestAborted()));
  return closed;
}
