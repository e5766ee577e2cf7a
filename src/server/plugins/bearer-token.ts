/** Authentication by bearer token (RFC 6750). */
import { hash, timingSafeEqual } from 'node:crypto';
import bearerAuth from '@fastify/bearer-auth';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { NoTokenConfigured, Unauthorized, WrongToken } from '../server-error.ts';
import type { RateLimit } from './rate-limit.ts';

/** Options of {@link requireBearerToken}. */
export interface BearerTokenOptions {
  /** Returns the right token; routes answer 403 if there is none. */
  readonly token: () => string | undefined;
  /** The key of the configuration that has the token, for messages. */
  readonly key: string;
  /** Limits wrong tokens by address; beyond it, the right one is refused too. */
  readonly wrongTokens: RateLimit;
}

/** Requires the token for all routes of `server`, which must be a scope of its own. */
export async function requireBearerToken(server: FastifyInstance, options: BearerTokenOptions): Promise<void> {
  const check = await checkTokens(server, options);
  server.addHook('onRequest', check);
}

/**
 * Lets requests of `server`, which must be a scope of its own, bring the token or none; a wrong one is refused. Returns
 * a function that says whether a request has brought it.
 */
export async function allowBearerToken(
  server: FastifyInstance,
  options: BearerTokenOptions,
): Promise<(request: FastifyRequest) => boolean> {
  const check = await checkTokens(server, options);
  const allowed = new WeakSet<FastifyRequest>();
  server.addHook('onRequest', async (request, reply) => {
    if (request.headers.authorization === undefined || options.token() === undefined) return;
    await check(request, reply);
    allowed.add(request);
  });
  return (request) => allowed.has(request);
}

/** Returns a check of one request, which throws unless it has the token. */
async function checkTokens(
  server: FastifyInstance,
  { token, key, wrongTokens }: BearerTokenOptions,
): Promise<(request: FastifyRequest, reply: FastifyReply) => Promise<void>> {
  // Under rfc6749, the scheme is not case-sensitive (RFC 9110, section 11.1).
  await server.register(bearerAuth, {
    keys: [],
    auth: (given) => sameSecret(given, token()),
    addHook: false,
    verifyErrorLogLevel: 'debug',
    specCompliance: 'rfc6749',
  });
  const { verifyBearerAuth } = server;
  if (verifyBearerAuth === undefined) throw new Error('@fastify/bearer-auth has not added verifyBearerAuth');
  return async (request, reply) => {
    if (token() === undefined) throw new NoTokenConfigured(key);
    const { promise: wrong, resolve } = Promise.withResolvers<boolean>();
    verifyBearerAuth(request, reply, (error) => resolve(error !== undefined));
    // Counts in order of arrival, in one packet too: a right token behind too many wrong ones is refused.
    await ((await wrong) ? wrongTokens.count(request, reply) : wrongTokens.check(request, reply));
    if (!(await wrong)) return;
    const given = /^bearer +\S/i.test(request.headers.authorization ?? '');
    reply.header('www-authenticate', `Bearer realm="regindexer"${given ? ', error="invalid_token"' : ''}`);
    throw given ? new WrongToken(key) : new Unauthorized(key);
  };
}

/** Compares in constant time. */
export function sameSecret(given: string, right: string | undefined): boolean {
  return right !== undefined && timingSafeEqual(hash('sha256', given, 'buffer'), hash('sha256', right, 'buffer'));
}
