/** The queue of rebuilds: one at a time for each registry; requests during it are merged into the next one. */
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import createError from '@fastify/error';
import type { Logger } from 'pino';
import { messageOf } from '../system/message-of.ts';
import type { RebuildProgress, RebuildResult, RebuildScope } from '../indexing/rebuild.ts';
import { combineRebuilds } from './combine-rebuilds.ts';
import { backoff, type BackoffLimits } from './backoff.ts';
import { RebuildLog } from './rebuild-log.ts';
import { scopesOf, type RebuildRequest } from './rebuild-request.ts';
import { mergeAllScopes, mergeScopes, scopeToRetry } from './rebuild-scope.ts';
import { failureOf, summarize, type Rebuild, type RegistryRebuild } from './rebuild.ts';

const MAX_REASONS = 10;
const MAX_REASON_LENGTH = 200;
const KEPT_REBUILDS = 50;
const RETRY_PAUSES: BackoffLimits = { first: 5_000, longest: 600_000 };

/** The error for requests during shutdown. */
export const Stopping = createError('REGINDEXER_STOPPING', 'The service is stopping; ask again in a moment.', 503);

/** The id, progress callback and signal of a running rebuild. */
export interface RunOptions {
  readonly id: string;
  readonly onProgress: (progress: RebuildProgress) => void;
  /** Aborted when the queue is closed. */
  readonly signal: AbortSignal;
}

/** Settings of the queue. */
export interface RebuildQueueOptions {
  /** The names of the indexes of each registry, by the registry's id. */
  readonly registries: ReadonlyMap<string, readonly string[]>;
  /** Runs a rebuild. */
  readonly run: (registry: string, scope: RebuildScope, options: RunOptions) => Promise<RebuildResult>;
  readonly logger: Logger;
  /** Returns the message of an error for everybody; its own unless given. The log has the error itself. */
  readonly publicMessage?: (error: unknown) => string;
  /** Pauses before retries; from 5 s, doubling up to 10 min, by default. */
  readonly retryPauses?: BackoffLimits;
}

/** Events of the rebuilds of single registries. */
export interface RebuildQueueEvents {
  queued: [rebuild: Rebuild];
  started: [rebuild: Rebuild];
  progress: [rebuild: Rebuild];
  finished: [rebuild: Rebuild];
  /** It never begins: another one does what it would have done. */
  replaced: [rebuild: Rebuild];
}

/** Queue state of one registry. */
interface Lane {
  readonly registry: string;
  running: RegistryRebuild | undefined;
  next: RegistryRebuild | undefined;
  /** The retry of failures, waiting for its pause to end. */
  retry: { rebuild: RegistryRebuild; readonly timer: NodeJS.Timeout } | undefined;
  /** Failures in a row. Rebuilds that succeed while a retry is pending do not reset it. */
  failures: number;
  /** Settles when the running rebuild has ended. */
  ended: Promise<void>;
}

/** A rebuild of several registries. */
interface Combined {
  readonly queuedAt: number;
  /** The ids of the rebuilds of each registry. */
  readonly rebuilds: readonly string[];
}

/**
 * Runs rebuilds, and retries failures with backoff until they succeed. A rebuild fails if it throws, if a repository
 * cannot be read, or if an index cannot be made. Requests during a pause start at once and do not include the retry;
 * one that covers its scope replaces it.
 */
export class RebuildQueue extends EventEmitter<RebuildQueueEvents> {
  readonly #options: RebuildQueueOptions;
  readonly #log: RebuildLog;
  readonly #lanes: readonly Lane[];
  /** Queued, running and recently ended rebuilds, oldest first. */
  readonly #rebuilds = new Map<string, RegistryRebuild>();
  readonly #combined = new Map<string, Combined>();
  /** Waiters for the end of rebuilds that are queued or running. */
  readonly #waiters = new Map<string, PromiseWithResolvers<Rebuild>>();
  /** The ids of ended rebuilds, oldest first. */
  readonly #endedIds: string[] = [];
  readonly #closing = new AbortController();

  constructor(options: RebuildQueueOptions) {
    super();
    this.#options = options;
    this.#log = new RebuildLog(options.logger, options.registries);
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
   * Requests a rebuild. Returns the rebuild that will do it, which may be shared with other requests; a combined one
   * for several registries.
   * @throws RangeError for a registry or index that is not configured; Stopping after {@link close}.
   */
  request({
    reason,
    scope,
  }: {
    readonly reason: string;
    readonly scope: RebuildRequest | readonly RebuildRequest[];
  }): Rebuild {
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
      // Deferred, so that requests of the same tick are merged.
      queueMicrotask(() => this.#start(lane));
    }
    const [only] = rebuilds;
    return only !== undefined && rebuilds.length === 1 ? only : this.#combine(rebuilds);
  }

  /** The current state of a rebuild; `undefined` if it is unknown or ended long ago. */
  get(id: string): Rebuild | undefined {
    const combined = this.#combined.get(id);
    if (combined === undefined) return this.#rebuilds.get(id);
    return combineRebuilds(
      id,
      combined.queuedAt,
      combined.rebuilds.flatMap((rebuild) => this.#rebuilds.get(rebuild) ?? []),
    );
  }

  /** Queued and running rebuilds of single registries, and the last 50 that ended; newest first. */
  recent(): readonly Rebuild[] {
    return [...this.#rebuilds.values()].toReversed();
  }

  /**
   * Waits until a rebuild is done or has failed.
   * @throws RangeError if {@link get} does not know it.
   */
  async finished(id: string): Promise<Rebuild> {
    const combined = this.#combined.get(id);
    if (combined === undefined) return this.#waitFor(id);
    return combineRebuilds(
      id,
      combined.queuedAt,
      await Promise.all(combined.rebuilds.map((rebuild) => this.#waitFor(rebuild))),
    );
  }

  /**
   * Waits until no rebuild is running or queued, at most `graceMs` milliseconds or until `signal` is aborted. Does not
   * wait for pending retries.
   */
  async settled(graceMs: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const grace = sleep(graceMs, undefined, { signal: AbortSignal.any([over.signal, signal]) }).catch(() => undefined);
    const idle = async (): Promise<void> => {
      while (
        !over.signal.aborted &&
        this.#lanes.some(({ running, next }) => running !== undefined || next !== undefined)
      ) {
        await Promise.all(this.#lanes.map(({ ended }) => ended));
      }
    };
    await Promise.race([idle(), grace]);
    over.abort();
  }

  /** Cancels queued rebuilds, aborts running ones, and waits until these have ended, at most `graceMs` milliseconds. */
  async close({ graceMs }: { readonly graceMs: number }): Promise<void> {
    this.#closing.abort(new Error('the service is stopping'));
    for (const lane of this.#lanes) {
      clearTimeout(lane.retry?.timer);
      for (const rebuild of [lane.retry?.rebuild, lane.next]) {
        if (rebuild !== undefined)
          this.#finish({
            ...rebuild,
            state: 'failed',
            finishedAt: Date.now(),
            error: 'the service stopped before it began',
          });
      }
      lane.next = undefined;
      lane.retry = undefined;
    }
    const ended = new AbortController();
    const grace = sleep(graceMs, undefined, { signal: ended.signal }).catch(() => undefined);
    await Promise.race([Promise.all(this.#lanes.map((lane) => lane.ended)), grace]);
    ended.abort();
  }

  /** Adds `scope` to the next rebuild of a registry. */
  #enqueue(lane: Lane, scope: RebuildScope, reason: string): RegistryRebuild {
    lane.next =
      lane.next === undefined
        ? this.#createQueued(lane.registry, scope, reason)
        : this.#extend(lane.next, scope, reason);
    return lane.next;
  }

  #createQueued(registry: string, scope: RebuildScope, reason: string, dueAt?: number): RegistryRebuild {
    const id = randomUUID();
    this.#waiters.set(id, Promise.withResolvers());
    const queued = this.#keep({
      id,
      registry,
      ...addReason(NO_REASONS, reason),
      scope,
      state: 'queued',
      queuedAt: Date.now(),
      dueAt,
    });
    this.emit('queued', queued);
    return queued;
  }

  #extend(rebuild: RegistryRebuild, scope: RebuildScope, reason: string): RegistryRebuild {
    return this.#keep({ ...rebuild, ...addReason(rebuild, reason), scope: mergeScopes(rebuild.scope, scope) });
  }

  #start(lane: Lane): void {
    const { next, retry } = lane;
    if (next === undefined || lane.running !== undefined || this.#closing.signal.aborted) return;
    if (retry !== undefined && covers(next.scope, retry.rebuild.scope)) {
      clearTimeout(retry.timer);
      lane.retry = undefined;
      this.#replaceWith(retry.rebuild, next);
    }
    lane.next = undefined;
    lane.ended = this.#run(lane, next);
  }

  async #run(lane: Lane, queued: RegistryRebuild): Promise<void> {
    const { id, registry, scope } = queued;
    let running: RegistryRebuild = this.#keep({ ...queued, dueAt: undefined, state: 'running', startedAt: Date.now() });
    lane.running = running;
    this.emit('started', running);
    this.#log.started(running);
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
      error = (this.#options.publicMessage ?? messageOf)(thrown);
    }

    lane.running = undefined;
    const finishedAt = Date.now();
    // The progress of an ended rebuild is not kept.
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
    const dueAt = lane.retry?.rebuild.dueAt;
    this.#log.ended(finished, { result, cause, dueAt, stopping: this.#closing.signal.aborted });
    this.#start(lane);
  }

  /** Schedules a retry after a pause, or adds to the pending retry. */
  #retry(lane: Lane, id: string, scope: RebuildScope): void {
    if (this.#closing.signal.aborted) return;
    const reason = `rebuild ${id} failed`;
    if (lane.retry !== undefined) {
      lane.retry.rebuild = this.#extend(lane.retry.rebuild, scope, reason);
      return;
    }
    const pause = backoff(++lane.failures, this.#options.retryPauses ?? RETRY_PAUSES);
    const timer = setTimeout(() => {
      const rebuild = lane.retry?.rebuild;
      lane.retry = undefined;
      if (rebuild !== undefined) lane.next = lane.next === undefined ? rebuild : this.#mergeRetry(rebuild, lane.next);
      this.#start(lane);
    }, pause);
    lane.retry = { rebuild: this.#createQueued(lane.registry, scope, reason, Date.now() + pause), timer };
  }

  /** `next`, extended by the scope of `rebuild`, which it replaces. */
  #mergeRetry(rebuild: RegistryRebuild, next: RegistryRebuild): RegistryRebuild {
    this.#replaceWith(rebuild, next);
    return this.#extend(next, rebuild.scope, rebuild.reasons[0] ?? '');
  }

  /** Replaces `rebuild` with `other`: waiters for its end then wait for that of `other`. */
  #replaceWith(rebuild: RegistryRebuild, other: RegistryRebuild): void {
    const waiter = this.#waiters.get(rebuild.id);
    this.#rebuilds.delete(rebuild.id);
    this.#waiters.delete(rebuild.id);
    if (waiter !== undefined) void this.#waiters.get(other.id)?.promise.then(waiter.resolve);
    this.emit('replaced', rebuild);
  }

  #keep(rebuild: RegistryRebuild): RegistryRebuild {
    this.#rebuilds.set(rebuild.id, rebuild);
    return rebuild;
  }

  #finish(rebuild: RegistryRebuild): void {
    this.#keep(rebuild);
    this.#endedIds.push(rebuild.id);
    if (this.#endedIds.length > KEPT_REBUILDS) this.#forget(this.#endedIds.shift());
    this.emit('finished', rebuild);
    this.#waiters.get(rebuild.id)?.resolve(rebuild);
    this.#waiters.delete(rebuild.id);
  }

  #forget(id: string | undefined): void {
    if (id === undefined) return;
    this.#rebuilds.delete(id);
    for (const [combined, { rebuilds }] of this.#combined) if (rebuilds.includes(id)) this.#combined.delete(combined);
  }

  async #waitFor(id: string): Promise<Rebuild> {
    const rebuild = this.#rebuilds.get(id);
    if (rebuild === undefined) throw new RangeError(`no rebuild ${JSON.stringify(id)} is known`);
    return (await this.#waiters.get(id)?.promise) ?? rebuild;
  }

  /** The combined rebuild of `rebuilds`; the same one for the same rebuilds. */
  #combine(rebuilds: readonly RegistryRebuild[]): Rebuild {
    const ids = rebuilds.map(({ id }) => id);
    const known = [...this.#combined].find(([, combined]) => combined.rebuilds.join() === ids.join());
    const [id, { queuedAt }] = known ?? [randomUUID(), { queuedAt: Date.now(), rebuilds: ids }];
    this.#combined.set(id, { queuedAt, rebuilds: ids });
    return combineRebuilds(id, queuedAt, rebuilds);
  }
}

/** Says whether `wide` includes all of `narrow`. */
function covers(wide: RebuildScope, narrow: RebuildScope): boolean {
  if (narrow.acceptLosses === true && wide.acceptLosses !== true) return false;
  return wide.indexes === 'all' || mergeScopes(wide, narrow) === wide;
}

const NO_REASONS = { reasons: [], otherReasons: 0 };

/** The reasons of a rebuild and one more. */
function addReason(
  { reasons, otherReasons }: Pick<Rebuild, 'reasons' | 'otherReasons'>,
  reason: string,
): Pick<Rebuild, 'reasons' | 'otherReasons'> {
  const short = reason.slice(0, MAX_REASON_LENGTH);
  if (reasons.includes(short)) return { reasons, otherReasons };
  return reasons.length < MAX_REASONS
    ? { reasons: [...reasons, short], otherReasons }
    : { reasons, otherReasons: otherReasons + 1 };
}
