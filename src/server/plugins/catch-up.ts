/** Keeps clients from going back in time where a load balancer leads them from one replica to another. */
import type { preHandlerAsyncHookHandler } from 'fastify';
import type { CurrentSite } from '../site.ts';

/**
 * Returns a hook that loads what other replicas may serve already, before a client is answered that has a version of
 * its own. Without it, one replica may answer with 200 and an older version than the client got from another.
 */
export function catchUpFirst(site: CurrentSite): preHandlerAsyncHookHandler {
  return async (request) => {
    const { sharing } = site();
    if (sharing !== undefined && request.headers['if-none-match'] !== undefined) await sharing.catchUp();
  };
}
