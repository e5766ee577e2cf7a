/** Changes in the database, as other replicas tell of them; and whether the database answers. */
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, ClientConfig } from 'pg';
import { isJsonObject } from '../../system/is-json-object.ts';
import { onAbort } from '../../system/on-abort.ts';
import { isRefused } from '../store-error.ts';
import { CHANNEL } from './channel.ts';
import { explainFault } from './database-fault.ts';
import { connectAlone, disconnect } from './own-connection.ts';
import type { PostgresDatabase } from './postgres-database.ts';

/** Intervals and limits, in milliseconds. */
const TIMES = {
  /** Between polls, where notifications arrive. */
  poll: 5_000,
  /** Between polls, where they do not. */
  pollAlone: 1_000,
  /** Before the next attempt to connect. */
  retry: 1_000,
  /** For a notification to arrive. */
  arrival: 2_000,
  /** For the database to answer; with `poll`, the time in which a connection that hangs is found. */
  answer: 4_000,
};

/** Settings of {@link StoreChanges}. */
export interface StoreChangesOptions {
  readonly connection: ClientConfig;
  /** Sends the notification by which LISTEN is tried. */
  readonly database: PostgresDatabase;
  /**
   * Looks at what may have changed; rejects if the database does not answer. Called once connected, and then every 5 s,
   * or every second where notifications do not arrive; on one connection not again while it runs.
   */
  readonly poll: () => Promise<void>;
  readonly times?: Partial<typeof TIMES>;
}

/** A notification: a JSON object. */
export type Payload = Readonly<Record<string, unknown>>;

/** Events of {@link StoreChanges}. */
export interface StoreChangesEvents {
  /** Another replica, or this one, tells of a change. */
  change: [payload: Payload];
  /**
   * The database does not answer, or refuses; it is tried again every second. Again only if it begins to refuse, or does
   * not refuse any more.
   */
  lost: [error: Error];
  /** It answers again, and was polled. */
  back: [];
  /** Notifications do not arrive, as behind PgBouncer in transaction mode. At most once. */
  polling: [];
}

/** Follows the changes in a database, on a connection of its own, for as long as it runs. */
export class StoreChanges extends EventEmitter<StoreChangesEvents> {
  readonly #options: StoreChangesOptions;
  readonly #times: typeof TIMES;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  /** `undefined` before the first attempt. */
  #answers: boolean | undefined;
  #fault: Error | undefined;
  #since = Date.now();
  #saidPolling = false;

  constructor(options: StoreChangesOptions) {
    super();
    this.#options = options;
    this.#times = { ...TIMES, ...options.times };
  }

  /** Whether the database answers. */
  get available(): boolean {
    return this.#answers === true;
  }

  /** Why it did not answer the last time; `undefined` if it did, or has not been tried. */
  get fault(): Error | undefined {
    return this.#fault;
  }

  /** Since when that is so, in milliseconds since the epoch. */
  get since(): number {
    return this.#since;
  }

  /** Starts; does nothing if it has started. Never throws, because the database may come later. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends for good. Does not wait for a poll. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('stopped'));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const error = await this.#follow().catch((thrown: Error) => thrown);
      if (signal.aborted) return;
      this.#lost(error);
      await pause(this.#times.retry, signal).catch(() => undefined);
    }
  }

  /** Follows until the connection breaks, and throws why. */
  async #follow(): Promise<never> {
    const broken = new AbortController();
    const signal = AbortSignal.any([this.#stopping.signal, broken.signal]);
    const client = await connectAlone(this.#options.connection, {
      name: 'regindexer changes',
      timeout: this.#times.answer,
      onEnd: (_, error) => broken.abort(error),
    });
    try {
      client.on('notification', ({ payload }) => {
        const change = parse(payload);
        if (change !== undefined && !('probe' in change)) this.emit('change', change);
      });
      await client.query(`LISTEN ${CHANNEL}`);
      const poll = this.#poller(broken, signal);
      // For what changed before it listened.
      poll();
      const arrives = await this.#arrives(client, signal);
      for (;;) {
        // Finds a connection that hangs. PgBouncer would log each notification that it cannot pass on.
        await client.query(arrives ? 'SELECT' : `UNLISTEN ${CHANNEL}`);
        if (!arrives) this.#sayPolling();
        await pause(arrives ? this.#times.poll : this.#times.pollAlone, signal);
        poll();
      }
    } finally {
      await disconnect(client);
    }
  }

  /** Returns what polls once on one connection; a failure of it breaks the connection. */
  #poller(broken: AbortController, signal: AbortSignal): () => void {
    let polling = false;
    const poll = async (): Promise<void> => {
      polling = true;
      try {
        await this.#options.poll();
        if (!signal.aborted) this.#back();
      } catch (error) {
        broken.abort(error);
      }
      polling = false;
    };
    return () => {
      if (!polling) void poll();
    };
  }

  /**
   * Says whether a notification arrives while the connection is idle. It comes from another one: PgBouncer in transaction
   * mode passes on what a connection says to itself.
   */
  async #arrives(client: Client, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    const probe = randomUUID();
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const onNotification = ({ payload }: { readonly payload?: string | undefined }): void => {
      if (parse(payload)?.['probe'] === probe) resolve(true);
    };
    client.on('notification', onNotification);
    const limit = setTimeout(resolve, this.#times.arrival, false);
    const forgetAbort = onAbort(signal, () => reject(signal.reason));
    this.#options.database.query('SELECT pg_notify($1, $2)', [CHANNEL, JSON.stringify({ probe })]).catch(reject);
    try {
      return await promise;
    } finally {
      forgetAbort();
      clearTimeout(limit);
      client.off('notification', onNotification);
    }
  }

  #sayPolling(): void {
    if (this.#saidPolling) return;
    this.#saidPolling = true;
    this.emit('polling');
  }

  #lost(thrown: Error): void {
    const error = explainFault(thrown, this.#options.connection) as Error;
    const before = this.#fault;
    this.#fault = error;
    if (this.#answers === false && isRefused(before) === isRefused(error)) return;
    if (this.#answers !== false) this.#since = Date.now();
    this.#answers = false;
    this.emit('lost', error);
  }

  #back(): void {
    if (this.#answers === true) return;
    const wasLost = this.#answers === false;
    this.#fault = undefined;
    this.#answers = true;
    this.#since = Date.now();
    if (wasLost) this.emit('back');
  }
}

/** Waits, or throws why `signal` is aborted. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => {
    throw signal.reason;
  });
}

/** A notification as its object; `undefined` if it is none. */
function parse(payload = ''): Payload | undefined {
  try {
    const value: unknown = JSON.parse(payload);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
