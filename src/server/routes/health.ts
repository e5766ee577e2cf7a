/** Whether the process is alive, and whether it has every index to serve. */
import { Type } from 'typebox';
import type { FastifyInstance } from 'fastify';
import type { CurrentSite } from '../site.ts';

const Health = Type.Object({ status: Type.String() });
const NotReady = Type.Object({ statusCode: Type.Integer(), error: Type.String(), message: Type.String(), missing: Type.Array(Type.String()) });

export function healthRoutes(app: FastifyInstance, site: CurrentSite): void {
  app.get('/healthz', { schema: { response: { 200: Health } } }, (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'ok' }));

  app.get('/readyz', { schema: { response: { 200: Health, 503: NotReady } } }, (_request, reply) => {
    reply.header('cache-control', 'no-store');
    const missing = [...site().indexes.values()].filter(({ shown }) => shown === undefined).map(({ name }) => name);
    if (missing.length === 0) return reply.send({ status: 'ready' });
    return reply.code(503).header('retry-after', '1').send({
      statusCode: 503,
      error: 'Service Unavailable',
      message: `Not built yet: ${missing.join(', ')}. /status tells why.`,
      missing,
    });
  });
}
