/** `/healthz` and `/readyz`: whether the service is alive, and whether it can serve every index. */
import { Type } from 'typebox';
import type { FastifyInstance } from 'fastify';
import { checkedResponse } from '../response-schema.ts';
import { ErrorAnswer } from '../plugins/errors.ts';
import type { CurrentSite } from '../site.ts';

const Health = Type.Object({ status: Type.String() });
const NotReady = Type.Object({ ...ErrorAnswer.properties, missing: Type.Array(Type.String()) });

/** Adds `/healthz` and `/readyz`. */
export function healthRoutes(server: FastifyInstance, site: CurrentSite): void {
  server.get('/healthz', { schema: { response: { 200: Health } } }, (_request, reply) =>
    reply.header('cache-control', 'no-store').send(checkedResponse(Health, { status: 'ok' })),
  );

  server.get('/readyz', { schema: { response: { 200: Health, 503: NotReady } } }, (_request, reply) => {
    reply.header('cache-control', 'no-store');
    const { indexes, sharing } = site();
    const missing = [...indexes.values()].filter(({ shown }) => shown === undefined).map(({ name }) => name);
    const reason = sharing?.state().notReady;
    if (missing.length === 0 && reason === undefined) return reply.send(checkedResponse(Health, { status: 'ready' }));
    return reply
      .code(503)
      .header('retry-after', '1')
      .send(
        checkedResponse(NotReady, {
          statusCode: 503,
          error: 'Service Unavailable',
          message: [
            ...(missing.length > 0 ? [`Not built yet: ${missing.join(', ')}. See /status for the reason.`] : []),
            ...(reason === undefined ? [] : [reason]),
          ].join(' '),
          missing,
        }),
      );
  });
}
