/** Remembers whether a registry refuses HEAD requests that succeed as GET. */
import type { HttpResponse } from './transport/http-message.ts';

/** How long no HEAD is sent after one was refused, in milliseconds. */
const REFUSED_FOR = 10 * 60_000;
/** Statuses of a busy registry, which do not depend on the method. */
const BUSY: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** State of HEAD support of one registry. */
export class HeadSupport {
  #refusedUntil = Number.NEGATIVE_INFINITY;

  /** Sends HEAD if true, otherwise GET. */
  get supported(): boolean {
    return performance.now() >= this.#refusedUntil;
  }

  /**
   * Says whether this answer to a HEAD may be a refusal of the method, so that GET must be tried. A 404 is one, too.
   */
  isRefusal({ status, headers }: HttpResponse): boolean {
    const challenged = status === 401 && headers['www-authenticate'] !== undefined;
    return status !== 200 && !challenged && !BUSY.has(status);
  }

  /** Stops sending HEAD for ten minutes, after a GET succeeded where HEAD was refused. */
  markRefused(): void {
    this.#refusedUntil = performance.now() + REFUSED_FOR;
  }
}
