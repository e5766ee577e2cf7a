/** Rate limits by client address. */
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { networkOf } from '../http/client-network.ts';
import { TooManyRequests } from '../server-error.ts';

/** A limit with counts of its own. */
export interface RateLimit {
  /**
   * Counts a request.
   * @throws TooManyRequests if it exceeds the limit
   */
  count(request: FastifyRequest, reply: FastifyReply): Promise<void>;
  /**
   * Checks without counting.
   * @throws TooManyRequests if the limit is reached
   */
  check(request: FastifyRequest, reply: FastifyReply): Promise<void>;
}

/** Returns a function that creates limits of `max` per minute. */
export async function rateLimits(server: FastifyInstance, max: number): Promise<() => RateLimit> {
  await server.register(rateLimit, { global: false });
  return () => {
    const limiter = server.createRateLimit({ max, timeWindow: '1 minute', keyGenerator: ({ ip }) => networkOf(ip) });
    const refuse = (reply: FastifyReply, seconds: number): never => {
      reply.header('retry-after', seconds);
      throw new TooManyRequests(String(max), String(seconds));
    };
    return {
      async count(request, reply) {
        const state = await limiter(request);
        if (!state.isAllowed && state.isExceeded) refuse(reply, state.ttlInSeconds);
      },
      async check(request, reply) {
        const state = await limiter(request, { increment: false });
        if (!state.isAllowed && state.remaining === 0) refuse(reply, state.ttlInSeconds);
      },
    };
  };
}
