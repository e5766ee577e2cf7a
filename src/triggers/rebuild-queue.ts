/** The queue of rebuilds: one at a time for each registry, and all that is asked for meanwhile merged into one more. */
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import createError from '@fastify/error';
import type { Logger } from 'pino';
import { messageOf } from '../system/message-of.ts';
import type { RebuildProgress, RebuildResult, RebuildScope } from '../indexing/rebuild.ts';
import { combineRebuilds } from './combine-rebuilds.ts';
import { failureOf, scopeToRetry, withDetails } from './failed-rebuild.ts';
import { growingPause, type PauseLimits } from './growing-pause.ts';
import { scopesOf, type RebuildRequest } from './rebuild-request.ts';
import { describeScope, mergeAllScopes, mergeScopes } from './rebuild-scope.ts';
import { summarize, type Rebuild } from './rebuild.ts';

const MAX_REASONS = 10;
const MAX_REASON_LENGTH = 200;
const KEPT_REBUILDS = 50;
const RETRY_PAUSES: PauseLimits = { first: 5_000, longest: 600_000 };

/** Nothing new is begun any more. */
export const Stopping = createError('REGINDEXER_STOPPING', 'The server is stopping; ask again in a moment.', 503);

export interface RunOptions {
  readonly id: string;
  readonly onProgress: (progress: RebuildProgress) => void;
  /** Aborted when the queue is closed. */
  readonly signal: AbortSignal;
}

export interface RebuildQueueOptions {
  /** The names of the indexes made from each registry, by its id. */
  readonly registries: ReadonlyMap<string, readonly string[]>;
  /** Does a rebuild. */
  readonly run: (registry: string, scope: RebuildScope, options: RunOptions) => Promise<RebuildResult>;
  readonly logger: Logger;
  /** Between attempts after a failure; 5 s, doubling up to 10 min, unless given. */
  readonly retryPauses?: PauseLimits;
}

/** Of the rebuilds of single registries. */
export interface RebuildQueueEvents {
  queued: [rebuild: Rebuild];
  started: [rebuild: Rebuild];
  progress: [rebuild: Rebuild];
  finished: [rebuild: Rebuild];
}

/** A rebuild of one registry. */
type RegistryRebuild = Rebuild & { readonly registry: string };

/** What one registry is at. */
interface Lane {
  readonly registry: string;
  running: RegistryRebuild | undefined;
  next: RegistryRebuild | undefined;
  /** What failed, waiting for its pause to end. */
  retry: { rebuild: RegistryRebuild; readonly timer: NodeJS.Timeout } | undefined;
  /** Failures in a row, whatever else succeeded between. */
  failures: number;
  /** Settles when what runs has ended. */
  ended: Promise<void>;
}

/** A rebuild over several registries. */
interface Combined {
  readonly queuedAt: number;
  /** The ids of those of each registry. */
  readonly rebuilds: readonly string[];
}

/**
 * A rebuild fails if it throws, if a repository could not be read, or if an index could not be made. What failed is tried again, after
 * growing pauses, until it succeeds. What is asked for in the meantime starts at once, and by itself: it does not fail with what fails
 * for ever; only if it asks for all that the other attempt would, that is not made any more.
 */
export class RebuildQueue extends EventEmitter<RebuildQueueEvents> {
  readonly #options: RebuildQueueOptions;
  readonly #lanes: readonly Lane[];
  /** Oldest first: those queued and running, and the last of those that ended. */
  readonly #rebuilds = new Map<string, RegistryRebuild>();
  readonly #combined = new Map<string, Combined>();
  /** Of the rebuilds that have not ended. */
  readonly #ends = new Map<string, PromiseWithResolvers<Rebuild>>();
  /** What was logged of each index. */
  readonly #warned = new Map<string, readonly string[]>();
  /** The ids of those that ended, oldest first. */
  readonly #ended: string[] = [];
  readonly #closing = new AbortController();

  constructor(options: RebuildQueueOptions) {
    super();
    this.#options = options;
    this.#lanes = Array.from(options.registries.keys(), (registry) => ({
      registry,
      running: undefined,
      next: undefined,
      retry: undefined,
      failures: 0,
      ended: Promise.resolve(),
    }));
  }

  /**
   * Asks for a rebuild. Gives the one that will do it, which others may have asked for too; one over several registries if it
   * concerns several.
   * @throws RangeError for a registry or an index that is not configured, and Stopping after {@link close}.
   */
  request({ reason, scope }: { readonly reason: string; readonly scope: RebuildRequest | readonly RebuildRequest[] }): Rebuild {
    if (this.#closing.signal.aborted) throw new Stopping();
    const scopes = new Map<string, RebuildScope[]>();
    for (const request of [scope].flat()) {
      for (const [registry, asked] of scopesOf(request, this.#options.registries)) {
        const others = scopes.get(registry);
        if (others === undefined) scopes.set(registry, [asked]);
        else others.push(asked);
      }
    }
    const rebuilds: RegistryRebuild[] = [];
    for (const lane of this.#lanes) {
      const asked = scopes.get(lane.registry);
      if (asked === undefined) continue;
      rebuilds.push(this.#enqueue(lane, mergeAllScopes(asked), reason));
      // Not at once, so that what is asked for in one breath is one rebuild.
      queueMicrotask(() => this.#start(lane));
    }
    const [only] = rebuilds;
    return only !== undefined && rebuilds.length === 1 ? only : this.#combine(rebuilds);
  }

  /** What is known of a rebuild now; `undefined` if it ended long ago or never was. */
  get(id: string): Rebuild | undefined {
    const combined = this.#combined.get(id);
    if (combined === undefined) return this.#rebuilds.get(id);
    return combineRebuilds(id, combined.queuedAt, combined.rebuilds.flatMap((rebuild) => this.#rebuilds.get(rebuild) ?? []));
  }

  /** The rebuilds of single registries that are queued or running, and the last 50 that ended: the newest first. */
  recent(): readonly Rebuild[] {
    return [...this.#rebuilds.values()].toReversed();
  }

  /**
   * Waits until a rebuild is done or has failed.
   * @throws RangeError if {@link get} does not know it.
   */
  async finished(id: string): Promise<Rebuild> {
    const combined = this.#combined.get(id);
    if (combined === undefined) return this.#end(id);
    return combineRebuilds(id, combined.queuedAt, await Promise.all(combined.rebuilds.map((rebuild) => this.#end(rebuild))));
  }

  /** Waits until nothing runs and nothing is about to, at most `graceMs` milliseconds or until `signal` is aborted. What failed and waits for its pause is not waited for. */
  async settled(graceMs: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const grace = sleep(graceMs, undefined, { signal: AbortSignal.any([over.signal, signal]) }).catch(() => undefined);
    const idle = async (): Promise<void> => {
      while (!over.signal.aborted && this.#lanes.some(({ running, next }) => running !== undefined || next !== undefined)) {
        await Promise.all(this.#lanes.map(({ ended }) => ended));
      }
    };
    await Promise.race([idle(), grace]);
    over.abort();
  }

  /** Starts nothing more, aborts what runs, and waits until that has ended, at most `graceMs` milliseconds. */
  async close({ graceMs }: { readonly graceMs: number }): Promise<void> {
    this.#closing.abort(new Error('the server is stopping'));
    for (const lane of this.#lanes) {
      clearTimeout(lane.retry?.timer);
      for (const rebuild of [lane.retry?.rebuild, lane.next]) {
        if (rebuild !== undefined) this.#finish({ ...rebuild, state: 'failed', finishedAt: Date.now(), error: 'the server stopped before it began' });
      }
      lane.next = undefined;
      lane.retry = undefined;
    }
    const ended = new AbortController();
    const grace = sleep(graceMs, undefined, { signal: ended.signal }).catch(() => undefined);
    await Promise.race([Promise.all(this.#lanes.map((lane) => lane.ended)), grace]);
    ended.abort();
  }

  /** Adds to what will be done next for a registry. */
  #enqueue(lane: Lane, scope: RebuildScope, reason: string): RegistryRebuild {
    lane.next = lane.next === undefined ? this.#queued(lane.registry, scope, reason) : this.#widened(lane.next, scope, reason);
    return lane.next;
  }

  #queued(registry: string, scope: RebuildScope, reason: string, dueAt?: number): RegistryRebuild {
    const id = randomUUID();
    this.#ends.set(id, Promise.withResolvers());
    const queued = this.#keep({ id, registry, ...addReason(NO_REASONS, reason), scope, state: 'queued', queuedAt: Date.now(), dueAt });
    this.emit('queued', queued);
    return queued;
  }

  #widened(rebuild: RegistryRebuild, scope: RebuildScope, reason: string): RegistryRebuild {
    return this.#keep({ ...rebuild, ...addReason(rebuild, reason), scope: mergeScopes(rebuild.scope, scope) });
  }

  #start(lane: Lane): void {
    const { next, retry } = lane;
    if (next === undefined || lane.running !== undefined || this.#closing.signal.aborted) return;
    if (retry !== undefined && covers(next.scope, retry.rebuild.scope)) {
      clearTimeout(retry.timer);
      lane.retry = undefined;
      this.#endsWith(retry.rebuild, next);
    }
    lane.next = undefined;
    lane.ended = this.#run(lane, next);
  }

  async #run(lane: Lane, queued: RegistryRebuild): Promise<void> {
    const { id, registry, scope } = queued;
    let running: RegistryRebuild = this.#keep({ ...queued, dueAt: undefined, state: 'running', startedAt: Date.now() });
    lane.running = running;
    this.emit('started', running);
    this.#options.logger.debug({ rebuild: id, registry, reasons: running.reasons, scope: describeScope(scope) }, `rebuilding what is made from ${registry}`);
    const onProgress = (progress: RebuildProgress): void => {
      if (lane.running?.id !== id) return;
      running = this.#keep({ ...running, progress });
      this.emit('progress', running);
    };

    let result: RebuildResult | undefined;
    let error: string | undefined;
    let cause: unknown;
    try {
      result = await this.#options.run(registry, scope, { id, onProgress, signal: this.#closing.signal });
      error = failureOf(result);
    } catch (thrown) {
      cause = thrown;
      error = messageOf(thrown);
    }

    lane.running = undefined;
    const finishedAt = Date.now();
    // How far it had come is of no use any more.
    const { progress: _progress, ...ended } = running;
    const finished: RegistryRebuild = {
      ...ended,
      state: error === undefined ? 'done' : 'failed',
      finishedAt,
      ...(result !== undefined && { result: summarize(result) }),
      ...(error !== undefined && { error }),
    };
    this.#finish(finished);
    if (error !== undefined) this.#retry(lane, id, result === undefined ? scope : scopeToRetry(scope, result));
    else if (lane.retry === undefined) lane.failures = 0;
    this.#log(finished, result && withDetails(result), lane.retry?.rebuild.dueAt, cause);
    this.#start(lane);
  }

  /** Sees to it that what failed is done again after a pause; with what waits for its pause already, if something does. */
  #retry(lane: Lane, id: string, scope: RebuildScope): void {
    if (this.#closing.signal.aborted) return;
    const reason = `rebuild ${id} failed`;
    if (lane.retry !== undefined) {
      lane.retry.rebuild = this.#widened(lane.retry.rebuild, scope, reason);
      return;
    }
    const pause = growingPause(++lane.failures, this.#options.retryPauses ?? RETRY_PAUSES);
    const timer = setTimeout(() => {
      const rebuild = lane.retry?.rebuild;
      lane.retry = undefined;
      if (rebuild !== undefined) lane.next = lane.next === undefined ? rebuild : this.#absorbed(rebuild, lane.next);
      this.#start(lane);
    }, pause);
    lane.retry = { rebuild: this.#queued(lane.registry, scope, reason, Date.now() + pause), timer };
  }

  /** `next`, doing the work of `rebuild` as well. */
  #absorbed(rebuild: RegistryRebuild, next: RegistryRebuild): RegistryRebuild {
    this.#endsWith(rebuild, next);
    return this.#widened(next, rebuild.scope, rebuild.reasons[0] ?? '');
  }

  /** Forgets `rebuild`, whose work `other` does: who waits for its end waits for that one's. */
  #endsWith(rebuild: RegistryRebuild, other: RegistryRebuild): void {
    const waiting = this.#ends.get(rebuild.id);
    this.#rebuilds.delete(rebuild.id);
    this.#ends.delete(rebuild.id);
    if (waiting !== undefined) void this.#ends.get(other.id)?.promise.then(waiting.resolve);
  }

  #keep(rebuild: RegistryRebuild): RegistryRebuild {
    this.#rebuilds.set(rebuild.id, rebuild);
    return rebuild;
  }

  #finish(rebuild: RegistryRebuild): void {
    this.#keep(rebuild);
    this.#ended.push(rebuild.id);
    if (this.#ended.length > KEPT_REBUILDS) this.#forget(this.#ended.shift());
    this.emit('finished', rebuild);
    this.#ends.get(rebuild.id)?.resolve(rebuild);
    this.#ends.delete(rebuild.id);
  }

  #forget(id: string | undefined): void {
    if (id === undefined) return;
    this.#rebuilds.delete(id);
    for (const [combined, { rebuilds }] of this.#combined) if (rebuilds.includes(id)) this.#combined.delete(combined);
  }

  async #end(id: string): Promise<Rebuild> {
    const rebuild = this.#rebuilds.get(id);
    if (rebuild === undefined) throw new RangeError(`no rebuild ${JSON.stringify(id)} is known`);
    return (await this.#ends.get(id)?.promise) ?? rebuild;
  }

  /** The rebuild that consists of `rebuilds`; the same for all who wait for the same. */
  #combine(rebuilds: readonly RegistryRebuild[]): Rebuild {
    const ids = rebuilds.map(({ id }) => id);
    const known = [...this.#combined].find(([, combined]) => combined.rebuilds.join() === ids.join());
    const [id, { queuedAt }] = known ?? [randomUUID(), { queuedAt: Date.now(), rebuilds: ids }];
    this.#combined.set(id, { queuedAt, rebuilds: ids });
    return combineRebuilds(id, queuedAt, rebuilds);
  }

  /** Tells of a rebuild that has ended, in one line; `dueAt` is when what failed is tried again, and `cause` what it threw. */
  #log(rebuild: RegistryRebuild, result: RebuildResult | undefined, dueAt: number | undefined, cause: unknown): void {
    const { logger } = this.#options;
    const { id, registry, reasons, scope } = rebuild;
    const error = (result && failureOf(result)) ?? rebuild.error;
    const finishedAt = rebuild.finishedAt ?? Date.now();
    const seconds = (finishedAt - (rebuild.startedAt ?? finishedAt)) / 1000;
    for (const { index, warnings } of result?.indexes ?? []) {
      const before = this.#warned.get(index) ?? [];
      for (const warning of warnings) if (!before.includes(warning)) logger.warn({ index }, warning);
      this.#warned.set(index, warnings);
    }
    const figures = { rebuild: id, registry, reasons, scope: describeScope(scope), seconds, ...(result && summarize(result)) };
    if (error === undefined) logger.info(figures, `rebuilt what is made from ${registry}`);
    else if (this.#closing.signal.aborted) logger.info(figures, `stopped rebuilding what is made from ${registry}`);
    else {
      const again = dueAt === undefined ? '' : `, again in ${Math.ceil((dueAt - finishedAt) / 1000)} s`;
      logger.warn({ ...figures, ...(cause !== undefined && { err: cause }) }, `rebuilding what is made from ${registry} failed${again}: ${error}`);
    }
  }
}

/** Says whether a rebuild of `wide` does all that one of `narrow` would. */
function covers(wide: RebuildScope, narrow: RebuildScope): boolean {
  if (narrow.acceptLosses === true && wide.acceptLosses !== true) return false;
  return wide.indexes === 'all' || mergeScopes(wide, narrow) === wide;
}

const NO_REASONS = { reasons: [], otherReasons: 0 };

/** The reasons of `rebuild` and one more. */
function addReason({ reasons, otherReasons }: Pick<Rebuild, 'reasons' | 'otherReasons'>, reason: string): Pick<Rebuild, 'reasons' | 'otherReasons'> {
  const short = reason.slice(0, MAX_REASON_LENGTH);
  if (reasons.includes(short)) return { reasons, otherReasons };
  return reasons.length < MAX_REASONS ? { reasons: [...reasons, short], otherReasons } : { reasons, otherReasons: otherReasons + 1 };
}
