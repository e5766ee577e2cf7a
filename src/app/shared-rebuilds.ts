/** Rebuilds where several replicas share a store: each takes requests and shows progress, the leading one rebuilds. */
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import type { Logger } from 'pino';
import { DatabaseUnavailable } from '../server/server-error.ts';
import type { RebuildScope } from '../indexing/rebuild.ts';
import type { RequestRow } from '../store/postgres/rebuild-rows.ts';
import { StoreError } from '../store/store-error.ts';
import { combineRebuilds } from '../triggers/combine-rebuilds.ts';
import { rebuildFromJson } from '../triggers/rebuild-json.ts';
import type { RebuildQueueEvents } from '../triggers/rebuild-queue.ts';
import { scopesOf, type RebuildRequest } from '../triggers/rebuild-request.ts';
import { mergeAllScopes } from '../triggers/rebuild-scope.ts';
import { isLive, type Rebuild } from '../triggers/rebuild.ts';
import type { Leader } from './leader.ts';
import { RebuildTerm, type SharedRows } from './rebuild-term.ts';

/** Longest time between two looks at a rebuild that is waited for, in milliseconds. */
const LOOK = 1_000;
/** Rebuilds that {@link SharedRebuilds.recent} lists. */
const KEPT = 50;

/** Options of {@link SharedRebuilds}. */
export interface SharedRebuildsOptions {
  readonly rows: SharedRows;
  /** Names of the indexes of each registry, by the registry's id. */
  readonly registries: ReadonlyMap<string, readonly string[]>;
  /** Resolves when all living replicas serve what the store has of these indexes now. */
  readonly served: (indexes: readonly string[]) => Promise<void>;
  readonly logger: Logger;
}

interface SharedRebuildEvents extends RebuildQueueEvents {
  /** Something in the store has changed. */
  changed: [];
}

/** The rebuilds in the store; emits the events of the queue of whoever leads. */
export class SharedRebuilds extends EventEmitter<SharedRebuildEvents> {
  readonly #options: SharedRebuildsOptions;
  /** Oldest first. */
  readonly #recent = new Map<string, Rebuild>();
  #change = 0;
  #following: Promise<void> | undefined;
  #followAgain = false;
  #term: RebuildTerm | undefined;

  constructor(options: SharedRebuildsOptions) {
    super();
    // Each client that waits listens.
    this.setMaxListeners(0);
    this.#options = options;
  }

  /**
   * Puts a request into the store, for the leading replica.
   * @throws RangeError for a registry or index that is not configured; DatabaseUnavailable
   */
  async request({ reason, scope }: { readonly reason: string; readonly scope: RebuildRequest }): Promise<Rebuild> {
    scopesOf(scope, this.#options.registries);
    const request = { id: randomUUID(), kind: 'request', reason, scope: [scope] } as const;
    const rebuild = this.#queued({ ...request, asked: Date.now() });
    await this.#ask(request);
    return rebuild;
  }

  /**
   * Puts a notification of a registry into the store; see {@link Notifications}.
   * @throws DatabaseUnavailable
   */
  async notify({
    reason,
    scope,
  }: {
    readonly reason: string;
    readonly scope: readonly RebuildRequest[];
  }): Promise<void> {
    await this.#ask({ id: randomUUID(), kind: 'notification', reason, scope });
  }

  /**
   * Asks the leading replica to repair what is published: a notification that names nothing.
   * @throws DatabaseUnavailable
   */
  async askRepair(): Promise<void> {
    await this.notify({ reason: 'a part of the store was damaged', scope: [] });
  }

  /**
   * Returns a request's rebuild, or one of {@link recent}.
   * @throws DatabaseUnavailable
   */
  async get(id: string): Promise<Rebuild | undefined> {
    const row = await this.#options.rows.get(id).catch((error: unknown) => {
      throw error instanceof StoreError ? new DatabaseUnavailable() : error;
    });
    if (row === undefined) return this.#recent.get(id);
    if (row.rebuild === undefined) return row.request && this.#queued(row.request);
    const begun = rebuildFromJson(row.rebuild);
    // Each registry's rebuild has its state in a row of its own.
    const current = (each: Rebuild): Rebuild => (row.ended ? each : (this.#recent.get(each.id) ?? each));
    const rebuild =
      begun.rebuilds === undefined
        ? { ...current(begun), id }
        : combineRebuilds(id, begun.queuedAt, begun.rebuilds.map(current));
    // The leader that began it may be gone; then the next one begins it again.
    return rebuild.state === 'failed' && !row.ended && row.request !== undefined ? this.#queued(row.request) : rebuild;
  }

  /**
   * Waits until a rebuild has ended and all replicas serve its result.
   * @throws RangeError if {@link get} does not know it
   */
  async finished(id: string): Promise<Rebuild> {
    const known = await this.get(id);
    for (let rebuild = known; ;) {
      if (rebuild === undefined) throw new RangeError(`no rebuild ${JSON.stringify(id)} is known`);
      if (!isLive(rebuild)) {
        if (rebuild.state === 'done') await this.#options.served(indexesOf(rebuild));
        return rebuild;
      }
      await this.#changed();
      const before = rebuild;
      rebuild = await this.get(id).catch((error: unknown) => {
        if (error instanceof DatabaseUnavailable) return before;
        throw error;
      });
    }
  }

  /** Live rebuilds of single registries, and the last 50 that ended; newest first. */
  recent(): readonly Rebuild[] {
    return [...this.#recent.values()].toReversed();
  }

  /**
   * Reads what has changed in the store, and emits it.
   * @throws StoreError
   */
  async follow(): Promise<void> {
    this.#followAgain = true;
    this.#following ??= this.#follow().finally(() => (this.#following = undefined));
    await this.#following;
  }

  /** Takes requests for `leader` from now on. */
  lead(leader: Leader): void {
    this.#term = new RebuildTerm(this.#options, leader);
  }

  /** Takes requests from the store: another replica may have put one there. */
  take(): void {
    this.#term?.take();
  }

  /** Takes no more requests; those that have not ended are left to the next leader. */
  release(): void {
    this.#term?.end();
    this.#term = undefined;
  }

  /** Returns a request that no leader has taken yet as a rebuild. */
  #queued({ id, reason, scope, asked }: RequestRow<readonly RebuildRequest[]>): Rebuild {
    const scopes = scope.flatMap((request) => this.#scopesOf(request));
    const registries = new Set(scopes.map(([registry]) => registry));
    const [only] = registries;
    return {
      id,
      ...(only !== undefined && registries.size === 1 && { registry: only }),
      reasons: [reason],
      otherReasons: 0,
      scope: mergeAllScopes(scopes.map(([, its]) => its)),
      state: 'queued',
      queuedAt: asked,
    };
  }

  /** Returns the scopes of a request; none if a replica with another configuration asked for an index of its own. */
  #scopesOf(request: RebuildRequest): readonly (readonly [registry: string, scope: RebuildScope])[] {
    try {
      return [...scopesOf(request, this.#options.registries)];
    } catch (error) {
      if (error instanceof RangeError) return [];
      throw error;
    }
  }

  async #ask(request: Parameters<SharedRebuildsOptions['rows']['ask']>[0]): Promise<void> {
    try {
      await this.#options.rows.ask(request);
    } catch (error) {
      throw error instanceof StoreError ? new DatabaseUnavailable() : error;
    }
    // The notification may be lost, or slower.
    this.#term?.take();
  }

  async #follow(): Promise<void> {
    while (this.#followAgain) {
      this.#followAgain = false;
      const { change, rebuilds } = await this.#options.rows.changedSince(this.#change);
      this.#change = change;
      for (const json of rebuilds) this.#see(rebuildFromJson(json));
      this.emit('changed');
    }
  }

  #see(rebuild: Rebuild): void {
    const before = this.#recent.get(rebuild.id)?.state;
    // The newest last.
    if (before === undefined) this.#forgetOldest();
    this.#recent.set(rebuild.id, rebuild);
    if (!isLive(rebuild)) this.emit('finished', rebuild);
    else if (rebuild.state === 'queued') this.emit('queued', rebuild);
    else this.emit(before === 'running' ? 'progress' : 'started', rebuild);
  }

  #forgetOldest(): void {
    const ended = [...this.#recent.values()].filter((rebuild) => !isLive(rebuild));
    for (const { id } of ended.slice(0, Math.max(0, ended.length - KEPT + 1))) this.#recent.delete(id);
  }

  /** Resolves at the next change, or after a moment. */
  async #changed(): Promise<void> {
    const signal = AbortSignal.timeout(LOOK);
    await once(this, 'changed', { signal }).catch(() => undefined);
  }
}

/** Names of the indexes that a rebuild brought up to date. */
function indexesOf({ rebuilds = [], result }: Rebuild): readonly string[] {
  return [...(result?.indexes.map(({ index }) => index) ?? []), ...rebuilds.flatMap(indexesOf)];
}
