/** `/openapi.json`: the routes, described from their own schemas (OpenAPI 3.1). */
import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';

/** More methods than that one route takes: it is the one that refuses what the others do not take. */
const METHODS_OF_A_ROUTE = 2;

/** Begins to take note of the routes that are registered. */
export async function describeRoutes(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'regindexer', version, description: 'An index of container registries for Flatpak, the page over it, and what runs it.' },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    },
    transform: ({ schema, url, route }) => ({ schema: [route.method].flat().length > METHODS_OF_A_ROUTE ? { ...schema, hide: true } : schema, url }),
  });
}

/** Call it below where {@link describeRoutes} was called. */
export function openapiRoutes(app: FastifyInstance): void {
  app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => reply.header('cache-control', 'no-cache').send(app.swagger()));
}
