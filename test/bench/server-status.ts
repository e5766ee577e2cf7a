/** What a running server says of itself. */
import { setTimeout as pause } from 'node:timers/promises';
import { request } from 'undici';

const PAUSE = 100;
/** How long a server may say that it is not ready, and the time between two questions, in milliseconds. */
const LIMIT = 600_000;
const SHORT_PAUSE = 5;

/** The part of `/status` that is read here. */
export interface ServerStatus {
  readonly rebuilds: readonly {
    readonly state: string;
    readonly finishedAt?: string;
    readonly result?: { readonly newImages: number };
  }[];
  /** Of the thread that answered, since its start, in milliseconds. */
  readonly eventLoopDelay: { readonly p99: number; readonly max: number };
}

export async function statusOf(url: string): Promise<ServerStatus> {
  const { body } = await request(`${url}/status`);
  return (await body.json()) as ServerStatus;
}

/**
 * Resolves when the rebuild at the server's start has ended, well or not, so that it does not disturb what is measured.
 */
export async function startRebuildEnded(url: string): Promise<void> {
  while (!(await statusOf(url)).rebuilds.some(({ finishedAt }) => finishedAt !== undefined)) await pause(PAUSE);
}

/** Asks until the answer is there. */
export async function firstAnswer(url: string): Promise<void> {
  const deadline = performance.now() + LIMIT;
  for (;;) {
    const { statusCode, body } = await request(url, { headers: { 'accept-encoding': 'gzip' } });
    const text = await body.text();
    if (statusCode === 200) return;
    if (statusCode !== 503 || performance.now() > deadline)
      throw new Error(`${url} was answered with ${statusCode}: ${text}`);
    await pause(SHORT_PAUSE);
  }
}
