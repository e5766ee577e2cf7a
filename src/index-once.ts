/** `regindexer index`: one rebuild of everything, told as it goes. */
import { setFlagsFromString } from 'node:v8';
import type { SingleBar } from 'cli-progress';
import type { Logger } from 'pino';
import { Build } from './build.ts';
import { buildOptions } from './build-options.ts';
import { StateLock } from './catalog/state-lock.ts';
import type { Config } from './config/config.ts';
import type { RebuildProgress, RebuildResult } from './indexing/rebuild.ts';
import { EVERYTHING } from './indexing/rebuild.ts';
import { describeLogged, logRequests } from './registry/http/transport/request-log.ts';

/** Between lines about progress where there is no terminal, in milliseconds. */
const LOG_INTERVAL = 10_000;
/** What ends it before it is done. */
const ENDS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Returns whether everything could be read and written; what could not is logged, and what was known of it is kept. */
export async function indexOnce(config: Config, logger: Logger): Promise<boolean> {
  // By now V8's young generation has room for 16 MB. What a rebuild reads is soon garbage: room for 64 would save no time, and take 60 MB.
  setFlagsFromString('--semi-space-growth-factor=1');
  // TurboFan takes what has been called 3,000 times, and in a run of seconds a tenth of all CPU time: most of it comes too late to pay.
  setFlagsFromString('--invocation-count-for-turbofan=30000');
  const verbose = logger.isLevelEnabled('debug');
  if (verbose) logRequests((request) => logger.debug({ ...request }, describeLogged(request)));
  const lock = StateLock.acquire(config.stateDir);
  try {
    const build = await Build.open(buildOptions(config), { onWarning: (message) => logger.warn(message) });
    try {
      const results = await rebuildAll(build, [...config.registries.keys()], process.stderr.isTTY && !verbose ? await ProgressBar.start() : new ProgressLog(logger));
      return results.map((result) => report(result, logger)).every(Boolean);
    } finally {
      await build.close();
    }
  } finally {
    lock.release();
  }
}

/** Resolves, or rejects, when nothing is being read or written any more; the first error ends the others. */
async function rebuildAll(build: Build, registries: readonly string[], progress: ProgressBar | ProgressLog): Promise<readonly RebuildResult[]> {
  const failed = new AbortController();
  const rebuilds = registries.map(async (registry) => {
    try {
      return await build.rebuild(registry, EVERYTHING, { onProgress: (state) => progress.report(registry, state), signal: failed.signal });
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  });
  try {
    await Promise.allSettled(rebuilds);
    failed.signal.throwIfAborted();
    return await Promise.all(rebuilds);
  } finally {
    progress.stop();
  }
}

function report({ registry, repositories, requests, newImages, seconds, failures, indexes }: RebuildResult, logger: Logger): boolean {
  for (const { repository, error } of failures) logger.error({ registry, ...(repository !== undefined && { repository }) }, `not read, what was known is kept: ${error}`);
  logger.info({ registry, repositories, requests, newImages, seconds: round(seconds) }, failures.length === 0 ? `read ${registry}` : `read what could be read of ${registry}`);
  for (const { index, images, bytes, changed, seconds: its, error, warnings } of indexes) {
    for (const warning of warnings) logger.warn({ index }, warning);
    if (error !== undefined) logger.error({ index }, `not written, the one before is kept: ${error}`);
    // One that is there is never empty.
    const outcome = error !== undefined ? 'failed' : bytes === 0 ? 'not made yet' : changed ? 'changed' : 'unchanged';
    process.stdout.write(`${index}: ${images} images, ${bytes} bytes, ${outcome}, ${round(its + seconds - total(indexes))} s\n`);
  }
  return failures.length === 0 && indexes.every(({ error }) => error === undefined);
}

/** The time that all indexes of a registry took by themselves; the rest was spent reading for all of them. */
function total(indexes: RebuildResult['indexes']): number {
  return indexes.reduce((sum, { seconds }) => sum + seconds, 0);
}

function round(seconds: number): number {
  return Math.round(seconds * 100) / 100;
}

/** The progress of all registries in one. */
class Sum {
  readonly #states = new Map<string, RebuildProgress>();

  add(registry: string, state: RebuildProgress): { repositories: number; of: number; images: number; requests: number } {
    this.#states.set(registry, state);
    const states = [...this.#states.values()];
    const sum = (number: (state: RebuildProgress) => number): number => states.reduce((result, one) => result + number(one), 0);
    return { repositories: sum((s) => s.repositories.done), of: sum((s) => s.repositories.total), images: sum((s) => s.images.done), requests: sum((s) => s.requests) };
  }
}

class ProgressBar {
  readonly #sum = new Sum();
  readonly #bar: SingleBar;

  private constructor(bar: SingleBar) {
    this.#bar = bar;
    for (const signal of ENDS) process.on(signal, this.#onEnd);
  }

  /** Leaves the terminal as it was, and ends the process as if nobody had listened. */
  readonly #onEnd = (signal: NodeJS.Signals): void => {
    this.stop();
    process.kill(process.pid, signal);
  };

  static async start(): Promise<ProgressBar> {
    const { SingleBar: Bar } = await import('cli-progress');
    const bar = new Bar({
      stream: process.stderr,
      format: '{bar} {percentage} % │ {value} of {total} repositories │ {images} new images │ {requests} requests │ {eta_formatted} left',
      hideCursor: true,
      clearOnComplete: true,
      etaBuffer: 50,
    });
    bar.start(0, 0, { images: 0, requests: 0 });
    return new ProgressBar(bar);
  }

  report(registry: string, state: RebuildProgress): void {
    const { repositories, of, images, requests } = this.#sum.add(registry, state);
    this.#bar.setTotal(of);
    this.#bar.update(repositories, { images, requests });
  }

  stop(): void {
    for (const signal of ENDS) process.off(signal, this.#onEnd);
    this.#bar.stop();
  }
}

class ProgressLog {
  readonly #sum = new Sum();
  readonly #logger: Logger;
  #last = performance.now();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  report(registry: string, state: RebuildProgress): void {
    const sum = this.#sum.add(registry, state);
    if (performance.now() - this.#last < LOG_INTERVAL) return;
    this.#last = performance.now();
    this.#logger.info(sum, `${sum.repositories} of ${sum.of} repositories read`);
  }

  stop(): void {}
}
