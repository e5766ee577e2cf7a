/** Waiting for what other programs do in their own time. */
import { setTimeout as pause } from 'node:timers/promises';

const PAUSE = 10;

/**
 * Tries again and again until `attempt` does not throw, and gives what it returned.
 * @param limit in milliseconds; 30 s unless given
 * @throws what it threw last, if it still does after `limit`
 */
export async function eventually<T>(attempt: () => T | Promise<T>, limit = 30_000): Promise<T> {
  const deadline = performance.now() + limit;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await pause(PAUSE);
  }
}
