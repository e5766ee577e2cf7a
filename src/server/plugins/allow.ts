/** Answers 405 with `Allow` where a path exists, but not for the request's method (RFC 9110, section 15.5.6). */
import { METHODS } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import { MethodNotAllowed } from '../server-error.ts';

/**
 * Collects the routes that are registered from here on, those of scopes included. Call the returned function when all
 * are there.
 */
export function allow(server: FastifyInstance): () => void {
  const methodsByUrl = new Map<string, Set<string>>();
  server.addHook('onRoute', ({ url, method }: RouteOptions) => {
    const methods = methodsByUrl.get(url) ?? new Set();
    methodsByUrl.set(url, methods);
    for (const name of [method].flat()) methods.add(name);
  });

  return () => {
    for (const [url, methods] of Array.from(methodsByUrl)) {
      const others = server.supportedMethods.filter((method) => !methods.has(method));
      if (others.length === 0) continue;
      const allowed = [...methods].toSorted().join(', ');
      const refuse = async (request: FastifyRequest, reply: FastifyReply): Promise<never> => {
        reply.header('allow', allowed);
        throw new MethodNotAllowed(request.method, allowed);
      };
      // In `onRequest`, before the body is read.
      server.route({ url, method: others, onRequest: refuse, handler: refuse });
    }
  };
}

/** Lets routes be registered for every method that Node.js parses, not only for Fastify's defaults. */
export function supportAllMethods(server: FastifyInstance): void {
  const known = new Set(server.supportedMethods);
  // Node.js emits no request for CONNECT, and closes the connection.
  for (const method of METHODS) if (!known.has(method) && method !== 'CONNECT') server.addHttpMethod(method);
}
