/** Answers 405 with `Allow` where a path exists but not for the method that was used (RFC 9110, section 15.5.6). */
import type { FastifyInstance, RouteOptions } from 'fastify';
import { MethodNotAllowed } from '../server-error.ts';

/** Must be registered before the routes. */
export function allow(app: FastifyInstance): () => void {
  const methodsByUrl = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }: RouteOptions) => {
    const methods = methodsByUrl.get(url) ?? new Set();
    methodsByUrl.set(url, methods);
    for (const name of [method].flat()) methods.add(name);
  });

  /** Call it when all routes are there. */
  return () => {
    for (const [url, methods] of Array.from(methodsByUrl)) {
      const allowed = [...methods].toSorted().join(', ');
      app.route({
        url,
        method: app.supportedMethods.filter((method) => !methods.has(method)),
        handler: (request, reply) => {
          reply.header('allow', allowed);
          throw new MethodNotAllowed(request.method, allowed);
        },
      });
    }
  };
}
