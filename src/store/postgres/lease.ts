/** Leadership of one of several replicas: a row with a term, which its holder renews. */
import { performance } from 'node:perf_hooks';
import { Client, type ClientConfig } from 'pg';
import { messageOf } from '../../system/message-of.ts';
import { StoreError } from '../store-error.ts';
import type { RunQuery } from './postgres-database.ts';

/** Lifetime of a lease that is not renewed, and interval of its renewals, in milliseconds. */
const LIFETIME = 6_000;
const INTERVAL = 2_000;
/** Share of the lifetime that the holder counts on: its clock may run slower than the database's. */
const SAFE = 0.8;

/** The lease of one holder, as writes are fenced with it. */
export interface HeldLease {
  readonly holder: string;
  /** Increases with each change of the holder. */
  readonly term: number;
}

/** Settings of a {@link Leadership}. */
export interface LeadershipOptions {
  readonly connection: ClientConfig;
  /** Names this replica, and this start of it. */
  readonly holder: string;
  /** Milliseconds; 6 s and 2 s by default. */
  readonly lifetime?: number;
  readonly interval?: number;
  /** Called when this replica begins to lead. */
  readonly onAcquired: (lease: HeldLease) => void;
  /** Called when it must not write any more. */
  readonly onLost: (reason: string) => void;
}

/** Takes the lease if it is free or expired, or renews the holder's own; one statement, by the database's clock. */
export const TAKE = `
  UPDATE lease SET
    holder = $1,
    term = CASE WHEN holder = $1 AND term = $2 THEN term ELSE term + 1 END,
    expires = clock_timestamp() + $3 * interval '1 millisecond'
  WHERE (holder = $1 AND term = $2) OR expires < clock_timestamp()
  RETURNING term`;

/** Tries to lead, for as long as it runs, on a connection of its own. */
export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #lifetime: number;
  #client: Client | undefined;
  #lease: HeldLease | undefined;
  #timer: NodeJS.Timeout | undefined;
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
    const { interval = INTERVAL } = this.#options;
    const tick = (): void => {
      this.#ticking = this.#tick().finally(() => {
        if (!this.#stopped) this.#timer = setTimeout(tick, interval);
      });
    };
    tick();
  }

  /** Ends, and frees the lease, so that another replica leads at once. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#ticking;
    const lease = this.#lease;
    this.#lose('this replica stops');
    const client = this.#client;
    this.#client = undefined;
    if (lease !== undefined) {
      // Best effort: without it, the lease expires.
      await client
        ?.query(`UPDATE lease SET expires = '-infinity' WHERE holder = $1 AND term = $2`, [lease.holder, lease.term])
        .catch(() => undefined);
    }
    await client?.end().catch(() => undefined);
  }

  async #tick(): Promise<void> {
    const { connection, holder } = this.#options;
    // From before the question: the database counts from after it.
    const asked = performance.now();
    try {
      this.#client ??= await connect(connection, this.#lifetime, (client) => {
        if (this.#client === client) this.#client = undefined;
      });
      const { rows } = await this.#client.query<{ term: string }>(TAKE, [
        holder,
        this.#lease?.term ?? 0,
        this.#lifetime,
      ]);
      const [row] = rows;
      if (row === undefined) this.#lose('another replica leads');
      else this.#hold({ holder, term: Number(row.term) }, asked);
    } catch (error) {
      const client = this.#client;
      this.#client = undefined;
      void client?.end().catch(() => undefined);
      // It goes on until its time is over: the database may be back before.
      if (this.#lease !== undefined && performance.now() >= asked + SAFE * this.#lifetime) this.#lose(messageOf(error));
    }
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
 * Locks the lease for the rest of a transaction, so that nobody takes it before that ends.
 * @throws StoreError `deposed` if it is not this holder's any more
 */
export async function fence(query: RunQuery, { holder, term }: HeldLease, database: string): Promise<void> {
  const rows = await query('SELECT FROM lease WHERE holder = $1 AND term = $2 FOR SHARE', [holder, term]);
  if (rows.length === 0) throw StoreError.of('deposed', database);
}

async function connect(connection: ClientConfig, timeout: number, onEnd: (client: Client) => void): Promise<Client> {
  const client = new Client({
    application_name: 'regindexer leadership',
    ...connection,
    connectionTimeoutMillis: timeout,
    // A connection that hangs must not outlive the lease.
    query_timeout: timeout * SAFE,
    keepAlive: true,
  });
  client.on('error', () => onEnd(client));
  client.on('end', () => onEnd(client));
  await client.connect();
  return client;
}
