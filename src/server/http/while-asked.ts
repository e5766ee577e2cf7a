/** Work for clients that may not wait for it. */
import type { FastifyReply } from 'fastify';
import { RequestAborted } from '../server-error.ts';

/** Aborted, with {@link RequestAborted}, when the client has gone, or has its answer; the caller may abort it before. */
export function whileAsked({ raw }: FastifyReply): AbortController {
  const ended = new AbortController();
  raw.once('close', () => ended.abort(new RequestAborted()));
  return ended;
}
