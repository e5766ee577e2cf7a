/** `/openapi.json`: the routes, described from their own schemas (OpenAPI 3.1). */
import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { TSchema } from 'typebox';
import { ErrorAnswer } from '../plugins/errors.ts';
import type { CurrentSite } from '../site.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Shapes of answers by their status, for those who read about the route: unlike those in its schema, nothing is made from them. */
    readonly answers?: Readonly<Record<number, TSchema>>;
  }
}

/** More methods than that one route takes: it is the one that refuses what the others do not take. */
const METHODS_OF_A_ROUTE = 2;

/** Begins to take note of the routes that are registered. */
export async function describeRoutes(server: FastifyInstance, version: string): Promise<void> {
  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'regindexer', version, description: 'An index of container registries for Flatpak, the page over it, and what runs it.' },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    },
    transform: ({ schema, url, route: { method, config } }) => {
      if ([method].flat().length > METHODS_OF_A_ROUTE) return { schema: { ...schema, hide: true }, url };
      return { schema: { ...schema, response: { ...(schema?.response as object | undefined), ...config?.answers, default: ErrorAnswer } }, url };
    },
  });
}

/** Call it below where {@link describeRoutes} was called. */
export function openapiRoutes(server: FastifyInstance, site: CurrentSite): void {
  server.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => {
    const { basePath } = site();
    return reply.header('cache-control', 'no-cache').send({ ...server.swagger(), ...(basePath !== '' && { servers: [{ url: basePath }] }) });
  });
}
