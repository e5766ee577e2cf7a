/** Leadership of one of several replicas: a row with a term, which its holder renews. */
import { performance } from 'node:perf_hooks';
import type { Client, ClientConfig } from 'pg';
import { messageOf } from '../../system/message-of.ts';
import { StoreError } from '../store-error.ts';
import { connectAlone, disconnect } from './own-connection.ts';
import { queryOn, type Row, type RunQuery } from './postgres-database.ts';

/** Lifetime of a lease that is not renewed, and interval of its renewals, in milliseconds. */
const LIFETIME = 6_000;
const INTERVAL = 2_000;
/** Delay after the end of another's lease before it is taken, in milliseconds. */
const MARGIN = 20;
/** Time between two attempts to take a lease that is over, while a write under it ends, in milliseconds. */
const RETRY = 100;
/** For how long that write is left alone, in milliseconds: most take a few. */
const WRITE_TIME = 1_000;
/** Share of the lifetime that the holder counts on: its clock may run slower than the database's. */
const SAFE = 0.8;

/** The lease of one holder, as writes are fenced with it. */
export interface HeldLease {
  readonly holder: string;
  /** Increases with each change of the holder. */
  readonly term: number;
}

/** Who holds the lease, or was the last to. */
export interface LeaseHolder {
  readonly holder: string;
  /** When it took the lease, by the database's clock, in milliseconds since the epoch. */
  readonly since: number;
  /** Whether its lease is not over. */
  readonly living: boolean;
  /** Time until it is over, unless it is renewed, in milliseconds. */
  readonly left: number;
}

/** Settings of a {@link Leadership}. */
export interface LeadershipOptions {
  readonly connection: ClientConfig;
  /** Names this replica, and this start of it. */
  readonly holder: string;
  /** Milliseconds; 6 s and 2 s by default. */
  readonly lifetime?: number;
  readonly interval?: number;
  /** Asked at each attempt: one that may not lead frees the lease, and takes none. Always by default. */
  readonly mayLead?: () => boolean;
  /** Called when this replica begins to lead, each time. */
  readonly onAcquired: (lease: HeldLease) => void;
  /** Called when it must not write any more. */
  readonly onLost: (reason: string) => void;
}

/** Key of the advisory lock that writes share, and that who takes the lease from another has alone. */
const WRITES = 8_243_108_410_894_378_361n;

/** Renews the holder's own lease, by the database's clock. */
const RENEW = `
  UPDATE lease SET expires = clock_timestamp() + $3 * interval '1 millisecond'
  WHERE holder = $1 AND term = $2
  RETURNING term`;

/**
 * Takes a lease that is over, unless a write under it has not ended. Waits for none: a statement that waits would go on
 * when its client has given it up.
 */
const TAKE = `
  WITH writes AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(${WRITES}) AS ended)
  UPDATE lease SET holder = $1, term = term + 1, since = clock_timestamp(),
    expires = clock_timestamp() + $2 * interval '1 millisecond'
  FROM writes
  WHERE ended AND expires < clock_timestamp()
  RETURNING term`;

/**
 * Ends the connections of writes under a lease that is over and that last for too long: their client may hang, or be
 * gone. What they have not committed would be rejected. Other roles' connections must not be ended.
 */
const END_WRITES = `
  SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
  WHERE locktype = 'advisory' AND database = datid AND granted AND mode = 'ShareLock'
    AND classid = ${WRITES >> 32n} AND objid = ${WRITES & 0xffff_ffffn} AND objsubid = 1
    AND usename = current_user AND xact_start < clock_timestamp() - $1 * interval '1 millisecond'
    AND EXISTS (SELECT FROM lease WHERE expires < clock_timestamp())`;

/**
 * Renews the lease, or takes it if it is over; returns its term, or `undefined` if another one holds it, or still
 * writes.
 * @param lifetime milliseconds
 */
export async function takeLease(
  query: RunQuery,
  { holder, term }: HeldLease,
  lifetime: number,
): Promise<number | undefined> {
  const [renewed] = await query<{ term: string }>(RENEW, [holder, term, lifetime]);
  if (renewed !== undefined) return Number(renewed.term);
  // The lock keeps writes of the holder waiting: asked for only where its lease is over.
  const [over] = await query('SELECT FROM lease WHERE expires < clock_timestamp()');
  if (over === undefined) return undefined;
  const [taken] = await query<{ term: string }>(TAKE, [holder, lifetime]);
  if (taken !== undefined) return Number(taken.term);
  await query(END_WRITES, [WRITE_TIME]);
  return undefined;
}

/** Returns who leads; `undefined` if nobody ever did. */
export async function leader(query: RunQuery): Promise<LeaseHolder | undefined> {
  const [row] = await query<LeaseHolder & Row>(
    `SELECT holder, floor(extract(epoch FROM since) * 1000)::float8 AS since, time.remaining > 0 AS living,
       greatest(time.remaining, 0) AS "left"
     FROM lease, LATERAL (SELECT CASE WHEN isfinite(expires) THEN extract(epoch FROM expires - clock_timestamp()) * 1000 ELSE 0 END::float8 AS remaining) AS time
     WHERE term > 0`,
  );
  return row;
}

/** Tries to lead, for as long as it runs, on a connection of its own. */
export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #lifetime: number;
  #client: Client | undefined;
  #lease: HeldLease | undefined;
  /** Timer of the next attempt; `undefined` during one. */
  #timer: NodeJS.Timeout | undefined;
  /** Whether another attempt follows the running one at once. */
  #isWoken = false;
  #expiry: NodeJS.Timeout | undefined;
  #ticking: Promise<void> = Promise.resolve();
  #started = false;
  #stopped = false;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#lifetime = options.lifetime ?? LIFETIME;
  }

  /** The lease, while this replica leads. */
  get lease(): HeldLease | undefined {
    return this.#lease;
  }

  /** Starts to try; does nothing if it has started. Never rejects, because the database may come later. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#next();
  }

  /** Tries at once, because {@link LeadershipOptions.mayLead} has changed. */
  wake(): void {
    if (!this.#started || this.#stopped) return;
    if (this.#timer === undefined) this.#isWoken = true;
    else this.#next();
  }

  /** Ends, and frees the lease, so that another replica leads at once. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#ticking;
    await this.#free('this replica stops');
    await disconnect(this.#client);
  }

  #next(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isWoken = false;
    this.#ticking = this.#tick().then((pause) => {
      if (!this.#stopped) this.#timer = setTimeout(() => this.#next(), this.#isWoken ? 0 : pause);
    });
  }

  /** Renews the lease, or tries to take it; returns the time until the next attempt, in milliseconds. */
  async #tick(): Promise<number> {
    const { connection, holder, interval = INTERVAL, mayLead = () => true } = this.#options;
    if (!mayLead()) {
      await this.#free('a replica of a newer version or configuration is to lead');
      return interval;
    }
    // Measured from before the query, because the database counts from after it.
    const asked = performance.now();
    try {
      this.#client ??= await connectAlone(connection, {
        name: 'regindexer leadership',
        // A connection that hangs must not outlive the lease.
        timeout: SAFE * this.#lifetime,
        onEnd: (client) => {
          if (this.#client === client) this.#client = undefined;
        },
      });
      const query = queryOn(this.#client);
      const term = await takeLease(query, { holder, term: this.#lease?.term ?? 0 }, this.#lifetime);
      if (term === undefined) {
        this.#lose('another replica leads');
        // The next leader begins when the lease of the last one is over, not some time later.
        const { left = interval } = (await leader(query)) ?? {};
        return left === 0 ? RETRY : Math.min(interval, left + MARGIN);
      }
      this.#hold({ holder, term }, asked);
    } catch (error) {
      const client = this.#client;
      this.#client = undefined;
      void disconnect(client);
      // It goes on until its time is over: the database may be back before.
      if (this.#lease !== undefined && performance.now() >= asked + SAFE * this.#lifetime) this.#lose(messageOf(error));
    }
    return interval;
  }

  /** Ends leading before the lease is over, so that another replica leads at once. */
  async #free(reason: string): Promise<void> {
    const lease = this.#lease;
    this.#lose(reason);
    if (lease === undefined) return;
    // Best effort: without it, the lease expires.
    await this.#client
      ?.query(`UPDATE lease SET expires = '-infinity' WHERE holder = $1 AND term = $2`, [lease.holder, lease.term])
      .catch(() => undefined);
  }

  #hold(lease: HeldLease, asked: number): void {
    const left = asked + SAFE * this.#lifetime - performance.now();
    if (left <= 0) return this.#lose('the database answered too late');
    clearTimeout(this.#expiry);
    this.#expiry = setTimeout(() => this.#lose('the lease could not be renewed in time'), left);
    const before = this.#lease;
    if (before?.term === lease.term) return;
    if (before !== undefined) this.#lose('another replica led meanwhile');
    this.#lease = lease;
    this.#options.onAcquired(lease);
  }

  #lose(reason: string): void {
    clearTimeout(this.#expiry);
    if (this.#lease === undefined) return;
    this.#lease = undefined;
    this.#options.onLost(reason);
  }
}

/**
 * Keeps others from taking the lease until the transaction ends.
 * @throws StoreError `deposed` if this holder does not have it any more
 */
export async function fence(query: RunQuery, { holder, term }: HeldLease, database: string): Promise<void> {
  const [, rows] = await Promise.all([
    query(`SELECT pg_advisory_xact_lock_shared(${WRITES})`),
    // A statement of its own sees what was committed while the one before waited.
    query('SELECT FROM lease WHERE holder = $1 AND term = $2', [holder, term]),
  ]);
  if (rows.length === 0) throw StoreError.of('deposed', database);
}
