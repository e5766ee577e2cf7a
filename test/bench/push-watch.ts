/** Watches answers until they show a push. */
import { setTimeout as pause } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { Client } from 'undici';
import { flatpakQuery } from '../../src/indexing/query/query.ts';

/** The tag that is pushed and asked for. */
export const PUSHED_TAG = 'latest';

/** The indexes that are watched, without their registry. */
const INDEXES = { apps: { extract_icons: true }, latest: { extract_icons: true, tags: [PUSHED_TAG] } };

/** The indexes that are watched, as a configuration has them. */
export function watchedIndexes(registry: string): object {
  return Object.fromEntries(Object.entries(INDEXES).map(([name, options]) => [name, { registry, ...options }]));
}

/** Between two questions, in milliseconds. */
const PAUSE = 5;
/** Of one push to be shown, in milliseconds. */
const LIMIT = 300_000;

/**
 * Milliseconds from the end of a push until the head of the answer that shows it, and until all of it was there; of the
 * answer that was last.
 */
export interface Shown {
  readonly head: number;
  readonly whole: number;
  /** Questions until then, of each answer about. */
  readonly polls: number;
}

/** One answer that is asked for. */
interface Watched {
  readonly client: Client;
  readonly path: string;
  etag: string;
}

/** Asks servers for what Flatpak clients are shown of each index, again and again. */
export class PushWatch {
  readonly #watched: readonly Watched[];

  private constructor(urls: readonly string[]) {
    this.#watched = urls.flatMap((url) =>
      Object.keys(INDEXES).map((index) => ({
        client: new Client(url),
        path: `/${index}/index/static?${flatpakQuery(PUSHED_TAG, 'amd64').canonical}`,
        etag: '',
      })),
    );
  }

  static async open(...urls: readonly string[]): Promise<PushWatch> {
    const watch = new PushWatch(urls);
    await watch.whole();
    return watch;
  }

  /**
   * Call it at the end of a push.
   * @param digest that was pushed
   */
  async until(digest: string): Promise<Shown> {
    const pushed = performance.now();
    let polls = 0;
    const answers = await Promise.all(
      this.#watched.map(async (each) => {
        for (;;) {
          const answer = await this.#ask(each, each.etag);
          polls++;
          if (answer !== undefined) return answer;
          if (performance.now() - pushed > LIMIT) throw new Error(`${digest} was not shown within ${LIMIT / 1000} s`);
          await pause(PAUSE);
        }
      }),
    );
    // Looked at when all are there: what that takes would be taken from the server.
    for (const { body } of answers)
      if (!gunzipSync(body).includes(digest))
        throw new Error(`the answer that came after the push of ${digest} does not show it`);
    return {
      head: Math.max(...answers.map(({ head }) => head)) - pushed,
      whole: Math.max(...answers.map(({ whole }) => whole)) - pushed,
      polls: Math.ceil(polls / answers.length),
    };
  }

  /** As many questions as {@link until} asks while nothing changes. */
  async unchanged(polls: number): Promise<void> {
    await Promise.all(
      this.#watched.map(async (each) => {
        for (let poll = 1; poll < polls; poll++) {
          if ((await this.#ask(each, each.etag)) !== undefined)
            throw new Error('the index changed although nothing was pushed');
          await pause(PAUSE);
        }
      }),
    );
    await this.whole();
  }

  /** Asks for the whole answers. */
  async whole(): Promise<void> {
    for (const each of this.#watched) await this.#ask(each, undefined);
  }

  async close(): Promise<void> {
    await Promise.all(this.#watched.map(({ client }) => client.close()));
  }

  /** When the answer's head and its end came; `undefined` if it is still that of `etag`. */
  async #ask(
    each: Watched,
    etag: string | undefined,
  ): Promise<{ head: number; whole: number; body: Buffer } | undefined> {
    const { statusCode, headers, body } = await each.client.request({
      method: 'GET',
      path: each.path,
      headers: { 'accept-encoding': 'gzip', ...(etag !== undefined && { 'if-none-match': etag }) },
    });
    const head = performance.now();
    const bytes = Buffer.from(await body.arrayBuffer());
    const whole = performance.now();
    if (statusCode === 304) return undefined;
    if (statusCode !== 200) throw new Error(`${each.path} was answered with ${statusCode}: ${bytes.toString()}`);
    each.etag = String(headers['etag']);
    return { head, whole, body: bytes };
  }
}
