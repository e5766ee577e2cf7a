/** Remembers that a registry refuses HEAD where GET works. */
import type { HttpResponse } from './transport/http-message.ts';

/** How long HEADs are not sent after one was refused, in milliseconds. */
const DISTRUST = 10 * 60_000;
/** What says that the registry cannot answer now, whatever the method. */
const BUSY: ReadonlySet<number> = new Set([429, 502, 503, 504]);

export class HeadTrust {
  #distrustedUntil = Number.NEGATIVE_INFINITY;

  /** Whether a HEAD is worth sending. */
  get trusted(): boolean {
    return performance.now() >= this.#distrustedUntil;
  }

  /** Says whether a GET may succeed where a HEAD was answered so. Its 404 is no word either: only that of a GET is. */
  mayBeRefused({ status, headers }: HttpResponse): boolean {
    const challenged = status === 401 && headers['www-authenticate'] !== undefined;
    return status !== 200 && !challenged && !BUSY.has(status);
  }

  /** A GET succeeded where a HEAD was refused. */
  distrust(): void {
    this.#distrustedUntil = performance.now() + DISTRUST;
  }
}
