/** `/openapi.json`: describes the routes from their own schemas (OpenAPI 3.1). */
import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { TSchema } from 'typebox';
import { ErrorAnswer } from '../plugins/errors.ts';
import type { CurrentSite } from '../site.ts';

/** Schemas of a route's answers, by status. */
export type AnswerSchemas = Readonly<Record<number, TSchema>>;

declare module 'fastify' {
  interface FastifyContextConfig {
    /** For `/openapi.json` alone: unlike those in `schema.response`, they do not serialize answers. */
    readonly answers?: AnswerSchemas;
  }
}

/** A route with more methods than this is the one of `allow` that answers 405. */
const METHODS_OF_A_ROUTE = 2;

/** Collects the routes that are registered from here on. */
export async function describeRoutes(server: FastifyInstance, version: string): Promise<void> {
  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'regindexer',
        version,
        description:
          'Index of container registries for Flatpak clients, with a web page and an API for administrators.',
      },
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer' }, basic: { type: 'http', scheme: 'basic' } },
      },
    },
    transform: ({ schema, url, route: { method, config } }) => {
      if ([method].flat().length > METHODS_OF_A_ROUTE) return { schema: { ...schema, hide: true }, url };
      return {
        schema: {
          ...schema,
          response: { ...(schema?.response as object | undefined), ...config?.answers, default: ErrorAnswer },
        },
        url,
      };
    },
  });
}

/** Adds `/openapi.json`. Call it after {@link describeRoutes}. */
export function openapiRoutes(server: FastifyInstance, site: CurrentSite): void {
  server.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => {
    const { basePath } = site();
    return reply
      .header('cache-control', 'no-cache')
      .send({ ...server.swagger(), ...(basePath !== '' && { servers: [{ url: basePath }] }) });
  });
}
