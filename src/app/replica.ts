/** One of several replicas that share a store in PostgreSQL: it follows what is published, and leads when it may. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { FORMAT, FORMAT_NUMBER, formatOf } from '../indexing/chunk/part.ts';
import type { Explanation, ExplainSubject } from '../indexing/explain.ts';
import { DatabaseUnavailable } from '../server/server-error.ts';
import type { SharedState } from '../server/site.ts';
import type { BlobReader } from '../store/blobs.ts';
import { CachedPublications } from '../store/postgres/cached-publications.ts';
import { type Payload, StoreChanges } from '../store/postgres/changes.ts';
import { checkDatabase } from '../store/postgres/check-database.ts';
import { connectionOf, type DatabaseAddress } from '../store/postgres/connection.ts';
import { fence, type HeldLease, leader, Leadership, type LeaseHolder } from '../store/postgres/lease.ts';
import { hasNewerTables, migrate } from '../store/postgres/migrations.ts';
import { PostgresBlobs } from '../store/postgres/postgres-blobs.ts';
import { PostgresCatalog } from '../store/postgres/postgres-catalog.ts';
import { PostgresDatabase } from '../store/postgres/postgres-database.ts';
import { PostgresPublications } from '../store/postgres/postgres-publications.ts';
import { postgresSizes } from '../store/postgres/postgres-sizes.ts';
import { RebuildRows } from '../store/postgres/rebuild-rows.ts';
import { allServe, mayLead, nextDeath, type ReplicaRow, Replicas } from '../store/postgres/replicas.ts';
import type { PublicationReader } from '../store/publications.ts';
import { isAway, isRefused, StoreError } from '../store/store-error.ts';
import type { StoreSize } from '../store/store.ts';
import { messageOf } from '../system/message-of.ts';
import { version } from '../system/version.ts';
import { explainAll } from './explain-all.ts';
import { type FollowedIndexes, PublicationFollower } from './publication-follower.ts';
import { SharedRebuilds } from './shared-rebuilds.ts';

/** Interval of the signs of life, in milliseconds. */
const BEAT = 2_000;
/** Longest time of a sign of life, in milliseconds: one on a connection that hangs is repeated before it is missed. */
const BEAT_TIMEOUT = 3_000;
/** Longest time of any other statement, in milliseconds. */
const TIMEOUT = 10_000;
/** Longest time for each step of stopping, in milliseconds. */
const STOP_LIMIT = 3_000;
/** Interval of cleaning the cache, in milliseconds. */
const CLEANUP = 600_000;
/** Lag from which a replica is not ready, in seconds. */
const MAX_LAG = 30;
/** Interval, and longest time, of waiting until the other replicas serve something, in milliseconds. */
const SERVED_INTERVAL = 50;
const SERVED_WAIT = 30_000;

/** Objects that a replica runs; a reload replaces them. */
export interface Replicated extends FollowedIndexes {
  /** Hash of all that changes what is published. */
  readonly configuration: string;
  readonly rebuilds: SharedRebuilds;
  /** Begins to rebuild for all replicas. */
  lead(lease: HeldLease): void;
  /** Stops rebuilding at once. */
  retire(): Promise<void>;
}

/** Objects that a {@link Replica} needs. */
export interface ReplicaOptions {
  readonly store: DatabaseAddress;
  readonly stateDir: string;
  /** Names this replica for people; other replicas may have the same name. */
  readonly name: string;
  readonly logger: Logger;
}

/** A replica, from start to shutdown, across reloads. */
export class Replica {
  readonly #logger: Logger;
  readonly #database: PostgresDatabase;
  /** One connection, so that a sign of life waits for nothing else. */
  readonly #beats: PostgresDatabase;
  /** Written by the leader alone. */
  readonly #publications: PostgresPublications;
  readonly #cache: CachedPublications;
  readonly #follower: PublicationFollower;
  readonly #changes: StoreChanges;
  readonly #replicas: Replicas;
  readonly #leadership: Leadership;
  readonly #id = randomUUID();
  readonly #stopping = new AbortController();
  /** Aborted when this replica is to lead no more, and the others are not to wait for it. */
  readonly #leaving = new AbortController();
  #running: Replicated | undefined;
  /** Whether what runs may rebuild: what ran before has stopped. */
  #mayRebuild = false;
  #leader: LeaseHolder | undefined;
  /** All replicas, as they were seen last. */
  #known: readonly ReplicaRow[] = [];
  /** The last line of the log about them. */
  #told = '';
  /** Whether a newer version of the program has changed the tables since the start. */
  #outdated = false;
  #prepared = false;
  #preparing: Promise<void> | undefined;
  /** Formats that living replicas read, as the store was told last. */
  #formats = '';
  #started = false;
  #beating: Promise<number> = Promise.resolve(BEAT);
  /** Settles when what leads has begun or ended as the lease says. */
  #turn: Promise<void> = Promise.resolve();

  private constructor({ store, stateDir, name: own, logger }: ReplicaOptions) {
    this.#logger = logger;
    const connection = connectionOf(store);
    this.#database = new PostgresDatabase({ ...connection, query_timeout: TIMEOUT }, async (query, name) => {
      const { lease } = this.#leadership;
      if (lease === undefined) throw StoreError.of('deposed', name);
      await fence(query, lease, name);
    });
    this.#publications = new PostgresPublications(this.#database, FORMAT);
    this.#cache = new CachedPublications(connection, {
      format: FORMAT,
      stateDir,
      onWarning: (warning) => logger.warn(warning),
    });
    this.#beats = new PostgresDatabase({
      ...connection,
      query_timeout: BEAT_TIMEOUT,
      connectionTimeoutMillis: BEAT_TIMEOUT,
      max: 1,
    });
    this.#replicas = new Replicas(this.#beats, { id: this.#id, name: own, version, format: FORMAT_NUMBER });
    this.#follower = new PublicationFollower({
      versions: () => this.#cache.versions(),
      onShown: (shown) => this.#replicas.show(shown).catch(ignore),
    });
    this.#changes = new StoreChanges({ connection, database: this.#database, poll: () => this.#poll() });
    this.#changes
      .on('change', (change) => this.#onChange(change))
      .on('lost', (error) => {
        logger.error(
          { err: error },
          `without the database, this replica serves what it has, and tries again every second: ${messageOf(error)}`,
        );
      })
      .on('back', () => logger.info('the database can be reached again'))
      .on('polling', () =>
        logger.warn(
          'the database passes no notifications on (as PgBouncer in transaction mode); this replica asks it every second instead',
        ),
      );
    this.#leadership = new Leadership({
      connection,
      holder: this.#id,
      mayLead: () => this.#mayLead(),
      onAcquired: (lease) => this.#lead(lease),
      onLost: (reason) => this.#retire(reason),
    });
  }

  /**
   * Opens a replica, from its cache if the database is away.
   * @throws StoreError if the database refuses this configuration, or the cache's folder cannot be used
   */
  static async open(options: ReplicaOptions): Promise<Replica> {
    const replica = new Replica(options);
    try {
      // It serves what it has while it, or another one, migrates large tables.
      await withinLimit(replica.#prepare(), TIMEOUT);
    } catch (error) {
      if (!isAway(error) || isRefused(error)) {
        await replica.stop();
        throw error;
      }
    }
    return replica;
  }

  /**
   * Creates the rebuilds of what this replica is to run.
   * @param registries names of the indexes of each registry, by the registry's id
   */
  createRebuilds(registries: ReadonlyMap<string, readonly string[]>): SharedRebuilds {
    return new SharedRebuilds({
      rows: new RebuildRows(this.#database),
      registries,
      served: (indexes) => this.#served(indexes),
      logger: this.#logger,
    });
  }

  /** Reads publications: from the cache, else from the store. */
  get reader(): PublicationReader {
    const cache = this.#cache;
    // A database that hangs would delay the start for each index.
    const copyOnly = (): boolean => !this.#prepared && !this.#started;
    return {
      publication: (index) => (copyOnly() ? cache.copied(index) : cache.publication(index)),
      chunkHeads: (names) => cache.chunkHeads(names),
      chunkSegment: (name, segment) => cache.chunkSegment(name, segment),
      png: (digest) => cache.png(digest),
      apps: (index) => (copyOnly() ? cache.copiedApps(index) : cache.apps(index)),
    };
  }

  /**
   * Reads blobs from the store. Fails at once while the database is away: clients that pull, or ask for a delta, must
   * not wait for one that hangs.
   */
  get blobs(): BlobReader {
    const blobs = new PostgresBlobs(this.#database);
    const check = (): void => {
      const { available, fault } = this.#changes;
      if (!available && fault !== undefined) throw fault;
    };
    return {
      size: async (blob) => {
        check();
        return blobs.size(blob);
      },
      piece: async (blob, position) => {
        check();
        return blobs.piece(blob, position);
      },
    };
  }

  /** Keeps `next` up to date, which answers from now on; it does not lead before {@link use}. */
  follow(next: Replicated): void {
    this.#running = next;
    this.#mayRebuild = false;
    this.#follower.follow(next);
  }

  /** Runs `next` instead of what it ran before, which must have stopped; leads with it if this replica may lead. */
  async use(next: Replicated): Promise<void> {
    if (this.#running !== next) this.follow(next);
    this.#mayRebuild = true;
    const { lease } = this.#leadership;
    if (lease !== undefined) this.#lead(lease);
    void next.rebuilds.follow().catch(ignore);
    await withinLimit(this.#beat(), TIMEOUT);
    if (this.#started || this.#leaving.signal.aborted) return;
    this.#started = true;
    this.#changes.start();
    this.#leadership.start();
    void this.#keepBeating();
    void this.#keepCleaning();
  }

  /** Lets another replica lead at once, and tells the others; goes on following until {@link stop}. */
  async leave(): Promise<void> {
    this.#leaving.abort();
    await withinLimit(this.#remove(), STOP_LIMIT);
    await this.#turn;
  }

  /** Leaves, and ends everything. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#leaving.abort();
    // It may have left before; but a client that waited for the others has told them of this replica again.
    const left = Promise.all([this.#changes.stop(), this.#remove()]);
    await withinLimit(
      left.then(() => Promise.all([this.#cache, this.#database, this.#beats].map((each) => each.close()))),
      STOP_LIMIT,
    );
    await this.#turn;
  }

  /** Loads what the store has and this replica does not serve yet; asks the store at most once in 100 ms. */
  catchUp(): Promise<void> {
    return this.#changes.fault === undefined ? this.#follower.catchUp() : Promise.resolve();
  }

  /** Returns how this replica stands to the others. */
  state(): SharedState {
    const { available, since } = this.#changes;
    const holder = available && this.#leader?.living === true ? this.#leader : undefined;
    return {
      store: { available, since },
      ledSince: holder?.since,
      leads: this.#leadership.lease !== undefined,
      lag: this.#follower.lag,
      replicas: this.#known.map(({ id, name, version: its, configuration, configured, started, seen, living }) => ({
        name,
        version: its,
        configuration,
        configuredAt: configured,
        startedAt: started,
        seenAt: seen,
        living,
        leads: id === this.#id ? this.#leadership.lease !== undefined : holder?.holder === id,
        self: id === this.#id,
      })),
      notReady: this.#notReady(),
    };
  }

  /**
   * Explains what each index shows of a repository, from the catalog.
   * @throws StoreError; DatabaseUnavailable
   */
  async explain(subject: ExplainSubject, options: Parameters<typeof explainAll>[1]): Promise<readonly Explanation[]> {
    try {
      const catalog = await PostgresCatalog.open(this.#database);
      return await explainAll(subject, options, { catalog, publications: this.#publications });
    } catch (error) {
      throw isAway(error) ? new DatabaseUnavailable() : error;
    }
  }

  /**
   * Says whether the catalog has tags of a repository.
   * @throws DatabaseUnavailable
   */
  async hasRepository(registry: string, name: string): Promise<boolean> {
    try {
      const { repositories } = await (await PostgresCatalog.open(this.#database)).known(registry, [name]);
      return (repositories.get(name)?.tags.size ?? 0) > 0;
    } catch (error) {
      throw error instanceof StoreError ? new DatabaseUnavailable() : error;
    }
  }

  /** Measures the store; nothing while the database is away, since a metric must not wait for one that hangs. */
  async sizes(): Promise<readonly StoreSize[]> {
    if (!this.#changes.available) return [];
    return postgresSizes(this.#database.query).catch(() => []);
  }

  /** Frees the lease, and removes this replica from those that live. */
  async #remove(): Promise<void> {
    await Promise.all([this.#leadership.stop(), this.#beating]);
    await this.#replicas.leave();
  }

  #notReady(): string | undefined {
    const { fault } = this.#changes;
    const { caughtUp, lag } = this.#follower;
    if (!caughtUp)
      return fault === undefined
        ? 'The newest publications are not loaded yet.'
        : // Its message names the database's host and user, which are for the log alone.
          'Only what was cached before the start is served, since the database cannot be used; the log of this server says why.';
    if (fault !== undefined) return undefined;
    return lag > MAX_LAG ? `What is served is ${Math.round(lag)} s older than what is published.` : undefined;
  }

  /** Makes or migrates the tables, once. */
  #prepare(): Promise<void> {
    this.#preparing ??= (async () => {
      await checkDatabase(this.#database);
      await migrate(this.#database);
      this.#prepared = true;
    })().catch((error: unknown) => {
      this.#preparing = undefined;
      throw error;
    });
    return this.#preparing;
  }

  #onChange({ published, document, format, rebuilds, request }: Payload): void {
    if (typeof published === 'string' && format === FORMAT)
      void this.#follower.load(published, document === 'apps' ? 'apps' : 'index');
    if (rebuilds === true) void this.#running?.rebuilds.follow().catch(ignore);
    if (request === true) this.#running?.rebuilds.take();
  }

  async #poll(): Promise<void> {
    await this.#prepare();
    await this.#follower.loadNewer();
    await this.#running?.rebuilds.follow();
    this.#running?.rebuilds.take();
  }

  /** Cleans the cache now and then. */
  async #keepCleaning(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(CLEANUP, undefined, { signal }).catch(ignore);
      if (signal.aborted) return;
      // With the next sign of life, those that nobody has read for a day are removed.
      this.#formats = '';
      const served = [...(this.#running?.indexes.values() ?? [])];
      const icons = new Set(served.flatMap(({ shown }) => shown?.chunks.flatMap((chunk) => chunk.icons) ?? []));
      await this.#cache.clean({ named: (icon) => icons.has(icon), now: Date.now() }).catch((error: unknown) => {
        this.#logger.warn({ err: error }, 'the cache could not be cleaned');
      });
    }
  }

  /** Resolves when all living replicas serve what the store has of these indexes now. */
  async #served(indexes: readonly string[]): Promise<void> {
    const signal = AbortSignal.any([AbortSignal.timeout(SERVED_WAIT), this.#stopping.signal]);
    try {
      const published = await this.#cache.versions();
      const versions = new Map(indexes.map((name) => [name, published.get(name)?.version ?? 0]));
      await this.#follower.loadNewer();
      while (!signal.aborted) {
        // As it is now: a reload may have come meanwhile.
        const { configuration = '' } = this.#running ?? {};
        const replicas = await this.#replicas.beat({ configuration, shown: this.#follower.shown });
        if (allServe(replicas, versions, FORMAT_NUMBER)) return;
        await sleep(SERVED_INTERVAL, undefined, { signal });
      }
    } catch (error) {
      // The database is away, or the time is over: the rebuild itself has succeeded.
      this.#logger.debug({ err: error }, 'not all replicas are known to serve a rebuild');
    }
  }

  async #keepBeating(): Promise<void> {
    const { signal } = this.#leaving;
    for (let [began, pause] = [performance.now(), BEAT]; ;) {
      await sleep(Math.max(0, began + pause - performance.now()), undefined, { signal }).catch(ignore);
      if (signal.aborted) return;
      began = performance.now();
      this.#beating = this.#beat();
      pause = await this.#beating;
    }
  }

  /** Gives a sign of life, and reads those of the others; returns the time until the next one, in milliseconds. */
  async #beat(): Promise<number> {
    const configuration = this.#running?.configuration;
    if (configuration === undefined) return BEAT;
    const { query } = this.#beats;
    const before = this.#mayLead();
    try {
      await this.#prepare();
      this.#known = await this.#replicas.beat({ configuration, shown: this.#follower.shown });
      this.#leader = await leader(query);
      this.#outdated = await hasNewerTables(query);
      if (this.#mayLead() !== before) this.#leadership.wake();
      this.#tellDifferences();
      // Not a part of it: it may take long.
      void this.#keepFormats();
      return Math.min(BEAT, nextDeath(this.#known, this.#id));
    } catch {
      // The changes tell that the database is away.
      return BEAT;
    }
  }

  #mayLead(): boolean {
    return !this.#outdated && mayLead(this.#known, this.#id);
  }

  /** Logs which replicas have other versions and configurations, when that changes. */
  #tellDifferences(): void {
    const living = this.#known.filter((replica) => replica.living);
    const kinds = living.map(({ version: its, configuration }) => `${its}, configuration ${configuration.slice(0, 8)}`);
    const differences =
      new Set(kinds).size > 1 ? living.map(({ name }, place) => `${name} (${kinds[place]})`).toSorted() : [];
    const text = [
      ...(differences.length === 0
        ? []
        : [
            `the replicas have different versions or configurations, of which the newest leads: ${differences.join(', ')}`,
          ]),
      ...(this.#outdated ? ['a newer version of this program has changed the tables of the database'] : []),
    ].join('; ');
    if (text === this.#told) return;
    this.#told = text;
    if (text === '') this.#logger.info('all replicas have the same version and configuration');
    else this.#logger.warn(`${text}; this replica ${this.#mayLead() ? 'may' : 'may not'} lead`);
  }

  /** Tells the store which formats are read, if this replica leads and they have changed. */
  async #keepFormats(): Promise<void> {
    if (this.#leadership.lease === undefined) {
      this.#formats = '';
      return;
    }
    const living = this.#known.filter((replica) => replica.living);
    const formats = new Set(living.map(({ format }) => formatOf(format)));
    const text = [...formats].toSorted().join();
    if (text === this.#formats) return;
    this.#formats = text;
    await this.#publications.keepFormats(formats, Date.now()).catch(() => {
      this.#formats = '';
    });
  }

  #lead(lease: HeldLease): void {
    this.#inTurn(async () => {
      if (this.#leadership.lease?.term !== lease.term) return;
      if (this.#running === undefined || !this.#mayRebuild) return;
      this.#logger.info({ term: lease.term }, 'this replica leads: it rebuilds from now on');
      this.#running.lead(lease);
    });
  }

  #retire(reason: string): void {
    const running = this.#running;
    this.#inTurn(async () => {
      if (!this.#leaving.signal.aborted)
        this.#logger.warn(`this replica does not lead any more and stops rebuilding: ${reason}`);
      await running?.retire();
    });
  }

  #inTurn(change: () => Promise<void>): void {
    this.#turn = this.#turn.then(change).catch((error: unknown) => {
      this.#logger.error({ err: error }, 'leading could not begin or end');
    });
  }
}

/** Waits for what the database may never answer, or only after long; at most so many milliseconds. */
async function withinLimit(ended: Promise<unknown>, limit: number): Promise<void> {
  const over = new AbortController();
  try {
    await Promise.race([ended, sleep(limit, undefined, { signal: over.signal }).catch(ignore)]);
  } finally {
    over.abort();
  }
}

function ignore(): void {}
