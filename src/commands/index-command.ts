/** `regindexer index`: one rebuild of everything, with its progress. */
import { constants } from 'node:os';
import type { SingleBar } from 'cli-progress';
import type { Logger } from 'pino';
import { amount } from '../system/amount.ts';
import { DeltaMaker } from '../app/delta-maker.ts';
import { RecoveringIndexer } from '../app/recovering-indexer.ts';
import { indexingOptions, type IndexingOptions } from '../app/indexing-options.ts';
import { connectionOf } from '../store/postgres/connection.ts';
import { SoleLead } from '../store/postgres/sole-lead.ts';
import { DeltaFigures } from '../server/figures.ts';
import { StateLock, StateLockedError } from '../store/state-lock.ts';
import type { Config } from '../config/config.ts';
import type { RebuildProgress, RebuildResult, RebuildScope } from '../indexing/rebuild.ts';
import { EVERYTHING } from '../indexing/rebuild.ts';
import type { AppChanges } from '../indexing/appdata/app-changes.ts';
import { untilAborted } from '../system/on-abort.ts';
import { messageOf } from '../system/message-of.ts';
import { joinNames } from '../system/join-names.ts';
import { describeSent, type OnRequest } from '../registry/http/transport/sent-request.ts';
import { type CommandOptions, type Configure, FAILURE, SUCCESS } from './command.ts';

/** Time between progress lines without a terminal, in milliseconds. */
export const LOG_INTERVAL = 10_000;
/** Time for pending reads and writes to end after a signal, in milliseconds. */
const GRACE = 2_000;
/** Signals that interrupt the command. */
const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Rebuilds all indexes once and returns the exit status.
 * @param acceptLosses removes at once what registries say is gone, however much that is
 */
export async function runIndex(configure: Configure, { acceptLosses = false }: CommandOptions): Promise<number> {
  const { config, logger } = await configure();
  try {
    return (await indexOnce(config, logger, { acceptLosses })) ? SUCCESS : FAILURE;
  } catch (error) {
    if (error instanceof StateLockedError) error.message += '; a running service rebuilds on POST /reindex';
    throw error;
  }
}

/** Options of {@link indexOnce}. */
interface IndexOptions {
  readonly acceptLosses: boolean;
  /** Runs after the rebuild, while the state is still locked. */
  readonly afterwards?: (signal: AbortSignal) => Promise<void>;
}

/**
 * Returns whether everything could be read and written; logs failures and keeps what was known. After a signal it
 * closes the store and then ends with that signal; after a second one, or {@link GRACE}, at once.
 */
export async function indexOnce(
  config: Config,
  logger: Logger,
  { acceptLosses, afterwards }: IndexOptions,
): Promise<boolean> {
  const verbose = logger.isLevelEnabled('debug');
  const onRequest: OnRequest = (request) => logger.debug({ ...request }, describeSent(request));
  const lock = await lockStore(config);
  const progress = process.stderr.isTTY && !verbose ? await ProgressBar.start() : new ProgressLog(logger);
  using interruption = new Interruption(() => {
    progress.stop();
    logger.warn('stopping; nothing is lost: the next run continues from here');
  });
  try {
    const indexer = await RecoveringIndexer.open(
      { ...indexingOptions(config), database: lock.database },
      { onWarning: (message) => logger.warn(message), ...(verbose && { onRequest }) },
    );
    let complete: boolean;
    try {
      const results = await rebuildAll(
        indexer,
        [...config.registries.keys()],
        { ...EVERYTHING, acceptLosses },
        progress,
        AbortSignal.any([interruption.signal, ...(lock.lost === undefined ? [] : [lock.lost])]),
      );
      complete = results.map((result) => report(result, logger)).every(Boolean);
      await untilAborted(indexer.picturesSettled(), interruption.signal);
      await makeDeltas(config, indexer, logger, interruption.signal);
    } finally {
      await indexer.close();
    }
    await afterwards?.(interruption.signal);
    return complete;
  } catch (error) {
    if (interruption.signal.aborted) return false;
    throw error;
  } finally {
    progress.stop();
    await lock.release();
    interruption.end();
  }
}

/** Makes the deltas that the indexes want. */
async function makeDeltas(
  config: Config,
  indexer: RecoveringIndexer,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  if (config.indexes.every(({ deltas }) => deltas === undefined)) return;
  const maker = new DeltaMaker({
    store: indexer,
    worker: { folder: config.stateDir, registries: indexingOptions(config).registries },
    logger,
    figures: new DeltaFigures(),
    publicMessage: messageOf,
  });
  try {
    await untilAborted(maker.finished(), signal);
  } finally {
    await maker.stop();
  }
}

/** The right to write the store. */
interface StoreLock {
  readonly database?: IndexingOptions['database'];
  /** Aborted once it is lost. */
  readonly lost?: AbortSignal;
  release(): void | Promise<void>;
}

async function lockStore({ stateDir, store }: Config): Promise<StoreLock> {
  if (store === undefined) return StateLock.acquire(stateDir);
  const lead = await SoleLead.acquire(connectionOf(store));
  return { database: { store, lease: lead.lease }, lost: lead.lost, release: () => lead.release() };
}

/** Handler of Ctrl-C and other signals: the first one aborts the rebuild, and gives it {@link GRACE} to end. */
class Interruption implements Disposable {
  readonly #stopping = new AbortController();
  readonly #onFirst: () => void;
  #received: NodeJS.Signals | undefined;

  constructor(onFirst: () => void) {
    this.#onFirst = onFirst;
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  /** Aborted by the first signal. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    const first = this.#received === undefined;
    this.#received = signal;
    if (!first) {
      this.end();
      return;
    }
    this.#onFirst();
    setTimeout(() => this.end(), GRACE).unref();
    this.#stopping.abort(new Error('stopped by a signal'));
  };

  /** Ends the process with the received signal, if any, so that its parent sees that. */
  end(): void {
    const received = this.#received;
    if (received === undefined) return;
    this[Symbol.dispose]();
    process.kill(process.pid, received);
    // The first process of a container is not ended by a signal.
    setImmediate(() => process.exit(128 + constants.signals[received]));
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }
}

/** Rebuilds from all registries in parallel; settles when all have ended. The first error aborts the others. */
async function rebuildAll(
  indexer: RecoveringIndexer,
  registries: readonly string[],
  scope: RebuildScope,
  progress: ProgressBar | ProgressLog,
  signal: AbortSignal,
): Promise<readonly RebuildResult[]> {
  const failed = new AbortController();
  const ending = AbortSignal.any([failed.signal, signal]);
  const rebuilds = registries.map(async (registry) => {
    try {
      return await indexer.rebuild(registry, scope, {
        onProgress: (state) => progress.report(registry, state),
        signal: ending,
      });
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  });
  await Promise.allSettled(rebuilds);
  // Before other lines are printed.
  progress.stop();
  ending.throwIfAborted();
  return Promise.all(rebuilds);
}

/** Logs and prints the result of one registry, and returns whether everything could be read and written. */
function report(
  { registry, repositories, requests, newImages, seconds, failures, indexes }: RebuildResult,
  logger: Logger,
): boolean {
  for (const { repository, error, detail = error } of failures) {
    logger.error(
      { registry, ...(repository !== undefined && { repository }) },
      `${repository ?? registry}: not read, what was known is kept: ${detail}`,
    );
  }
  const figures = `${amount(repositories, 'repository', 'repositories')}, ${amount(newImages, 'new image')}, ${amount(requests, 'request')}, ${round(seconds)} s`;
  logger.info(
    { registry, repositories, requests, newImages, seconds: round(seconds) },
    `${failures.length === 0 ? 'read' : 'partly read'} ${registry}: ${figures}`,
  );
  for (const { index, images, bytes, changed, apps, seconds: its, error, warnings } of indexes) {
    for (const warning of warnings) logger.warn({ index }, warning);
    if (error !== undefined) logger.error({ index }, `not written, the one before is kept: ${error}`);
    // An index that exists is never empty.
    const outcome = error !== undefined ? 'failed' : bytes === 0 ? 'not made yet' : changed ? 'changed' : 'unchanged';
    process.stdout.write(
      `${index}: ${amount(images, 'image')}, ${amount(bytes, 'byte')}, ${outcome}, ${round(its + seconds - total(indexes))} s\n${appLines(apps)}`,
    );
  }
  return failures.length === 0 && indexes.every(({ error, held }) => error === undefined && held === undefined);
}

/** Lists the apps that were added, updated and removed, one line each. */
function appLines(apps: AppChanges | undefined): string {
  const kinds = Object.entries(apps ?? {}) as [keyof AppChanges, AppChanges[keyof AppChanges]][];
  return kinds
    .flatMap(([kind, { count, ids }]) => (count === 0 ? [] : [`  ${kind}: ${joinNames(ids, count)}\n`]))
    .join('');
}

/** Sums the times of the indexes; the rest of a rebuild's time is spent reading for all of them. */
function total(indexes: RebuildResult['indexes']): number {
  return indexes.reduce((sum, { seconds }) => sum + seconds, 0);
}

function round(seconds: number): number {
  return Math.round(seconds * 100) / 100;
}

interface Counts {
  readonly repositories: number;
  readonly of: number;
  readonly images: number;
  readonly requests: number;
}

/** Total progress over all registries. */
class TotalProgress {
  readonly #states = new Map<string, RebuildProgress>();

  add(registry: string, state: RebuildProgress): Counts {
    this.#states.set(registry, state);
    const states = [...this.#states.values()];
    const sum = (number: (state: RebuildProgress) => number): number =>
      states.reduce((result, one) => result + number(one), 0);
    return {
      repositories: sum((s) => s.repositories.done),
      of: sum((s) => s.repositories.total),
      images: sum((s) => s.images.done),
      requests: sum((s) => s.requests),
    };
  }
}

class ProgressBar {
  readonly #sum = new TotalProgress();
  readonly #bar: SingleBar;
  #stopped = false;

  private constructor(bar: SingleBar) {
    this.#bar = bar;
  }

  static async start(): Promise<ProgressBar> {
    const { Format, SingleBar: Bar } = (await import('cli-progress')).default;
    const bar = new Bar({
      stream: process.stderr,
      format: '{bar} {percent} % │ {value} of {total} repositories │ {images} │ {requests} │ {eta_formatted}',
      // With a total of 0, the bar would be full.
      formatBar: (progress, options) => Format.BarFormat(bar.getTotal() === 0 ? 0 : progress, options),
      hideCursor: true,
      clearOnComplete: true,
      etaBuffer: 50,
      // A string such as `NULL` while there is no estimate.
      formatTime: (seconds: unknown, ...options) =>
        typeof seconds === 'number' ? `${Format.TimeFormat(seconds, ...options)} left` : 'time left unknown',
    });
    bar.start(0, 0, shownCounts({ repositories: 0, of: 0, images: 0, requests: 0 }));
    return new ProgressBar(bar);
  }

  report(registry: string, state: RebuildProgress): void {
    if (this.#stopped) return;
    const counts = this.#sum.add(registry, state);
    this.#bar.setTotal(counts.of);
    this.#bar.update(counts.repositories, shownCounts(counts));
  }

  /** Removes the bar and restores the cursor. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#bar.stop();
  }
}

function shownCounts({
  repositories,
  of,
  images,
  requests,
}: Counts): Readonly<Record<'percent' | 'images' | 'requests', string>> {
  return {
    percent: String(of === 0 ? 0 : Math.floor((repositories / of) * 100)),
    images: amount(images, 'new image'),
    requests: amount(requests, 'request'),
  };
}

class ProgressLog {
  readonly #sum = new TotalProgress();
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
