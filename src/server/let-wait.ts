/** Clients that wait for long with a reason. */
import type { FastifyRequest } from 'fastify';

/** The connection of `request` may be silent while it is answered, however long that takes. */
export function letWait({ raw }: FastifyRequest): void {
  // A request that was injected has no connection.
  (raw.socket as Partial<typeof raw.socket>).setTimeout?.(0);
}
