/** What a running server says of itself. */
import { setTimeout as pause } from 'node:timers/promises';
import { request } from 'undici';

const PAUSE = 100;

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
