/** Routes that need a bearer token (RFC 6750). */
import bearerAuth from '@fastify/bearer-auth';
import type { FastifyInstance } from 'fastify';
import { NoTokenConfigured, Unauthorized } from '../server-error.ts';

/**
 * All routes of `app`, which must be a scope of its own, need `token`; they answer 403 if there is none.
 * @param key the configuration's key of the token, for messages
 */
export async function requireBearerToken(app: FastifyInstance, token: string | undefined, key: string): Promise<void> {
  if (token === undefined) {
    app.addHook('onRequest', () => {
      throw new NoTokenConfigured(key);
    });
    return;
  }
  await app.register(bearerAuth, { keys: [token], addHook: false, verifyErrorLogLevel: 'debug' });
  const { verifyBearerAuth } = app;
  if (verifyBearerAuth === undefined) throw new Error('@fastify/bearer-auth gave nothing to verify with');
  app.addHook('onRequest', (request, reply, done) => {
    verifyBearerAuth(request, reply, (error) => {
      if (error === undefined) done();
      else {
        reply.header('www-authenticate', 'Bearer realm="regindexer"');
        done(new Unauthorized(key));
      }
    });
  });
}
