/** Routes that need a bearer token (RFC 6750). */
import { hash, timingSafeEqual } from 'node:crypto';
import bearerAuth from '@fastify/bearer-auth';
import type { FastifyInstance } from 'fastify';
import { NoTokenConfigured, Unauthorized, WrongToken } from '../server-error.ts';
import type { RateLimit } from './rate-limit.ts';

export interface BearerTokenOptions {
  /** Gives the right one; without one, the routes answer 403. */
  readonly token: () => string | undefined;
  /** The configuration's key of the token, for messages. */
  readonly key: string;
  /** How many wrong tokens an address may try; when it has, the right one is refused, too. */
  readonly wrongTokens?: RateLimit;
}

/** All routes of `app`, which must be a scope of its own, need the token. */
export async function requireBearerToken(server: FastifyInstance, { token, key, wrongTokens }: BearerTokenOptions): Promise<void> {
  // The name of the scheme may be written in any case (RFC 9110, section 11.1).
  await server.register(bearerAuth, { keys: [], auth: (given) => equal(given, token()), addHook: false, verifyErrorLogLevel: 'debug', specCompliance: 'rfc6749' });
  const { verifyBearerAuth } = server;
  if (verifyBearerAuth === undefined) throw new Error('@fastify/bearer-auth gave nothing to verify with');
  server.addHook('onRequest', async (request, reply) => {
    if (token() === undefined) throw new NoTokenConfigured(key);
    const { promise: wrong, resolve } = Promise.withResolvers<boolean>();
    verifyBearerAuth(request, reply, (error) => resolve(error !== undefined));
    // In the order in which they came, also those that come in one packet: a right token counts for nothing behind too many wrong ones.
    await ((await wrong) ? wrongTokens?.count(request, reply) : wrongTokens?.check(request, reply));
    if (!(await wrong)) return;
    const given = /^bearer +\S/i.test(request.headers.authorization ?? '');
    reply.header('www-authenticate', `Bearer realm="regindexer"${given ? ', error="invalid_token"' : ''}`);
    throw given ? new WrongToken(key) : new Unauthorized(key);
  });
}

/** Takes as long for a token that is nearly right as for any other. */
function equal(given: string, right: string | undefined): boolean {
  return right !== undefined && timingSafeEqual(hash('sha256', given, 'buffer'), hash('sha256', right, 'buffer'));
}
