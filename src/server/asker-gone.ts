/** Clients that do not wait for their answers. */
import type { FastifyReply } from 'fastify';
import { RequestAborted } from './server-error.ts';

/** Aborted, with {@link RequestAborted}, when the client has gone, or has its answer. */
export function askerGone({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => gone.abort(new RequestAborted()));
  return gone.signal;
}
