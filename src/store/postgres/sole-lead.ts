/** Leadership for one command: it writes the store until it ends, and no replica does. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientConfig } from 'pg';
import { StateLockedError } from '../state-lock.ts';
import { StoreError } from '../store-error.ts';
import { checkDatabase } from './check-database.ts';
import { type HeldLease, leader, Leadership } from './lease.ts';
import { migrate } from './migrations.ts';
import { PostgresDatabase } from './postgres-database.ts';

/** Time for the lease of another holder to end, in milliseconds: longer than one that is not renewed lives. */
const WAIT = 10_000;

/** The lease, which is renewed until it is released. */
export class SoleLead {
  readonly lease: HeldLease;
  /** Aborted once the lease is lost. */
  readonly lost: AbortSignal;
  readonly #leadership: Leadership;

  private constructor(leadership: Leadership, lease: HeldLease, lost: AbortSignal) {
    this.#leadership = leadership;
    this.lease = lease;
    this.lost = lost;
  }

  /**
   * Makes or migrates the tables, and takes the lease; waits up to 10 s for it.
   * @throws StateLockedError if a replica leads; StoreError that says what to do
   */
  static async acquire(connection: ClientConfig): Promise<SoleLead> {
    const database = new PostgresDatabase(connection);
    const acquired = Promise.withResolvers<HeldLease>();
    const lost = new AbortController();
    const leadership = new Leadership({
      connection,
      holder: randomUUID(),
      onAcquired: acquired.resolve,
      onLost: (reason) => {
        const message = `this command may not write ${database.name} any more: ${reason}`;
        lost.abort(StoreError.saying('deposed', database.name, message));
      },
    });
    const over = new AbortController();
    try {
      await checkDatabase(database);
      await migrate(database);
      leadership.start();
      const lease = await Promise.race([
        acquired.promise,
        sleep(WAIT, undefined, { signal: over.signal }).catch(() => undefined),
      ]);
      if (lease !== undefined) return new SoleLead(leadership, lease, lost.signal);
      await leadership.stop();
      throw new StateLockedError(
        `${database.name} is in use by ${await holderIn(database)}: stop all replicas, or name another database in store`,
      );
    } finally {
      over.abort();
      await database.close();
    }
  }

  /** Frees the lease, so that a replica leads at once. Safe to repeat. */
  async release(): Promise<void> {
    await this.#leadership.stop();
  }
}

/** Names who leads, for the error message alone. */
async function holderIn({ query }: PostgresDatabase): Promise<string> {
  const { holder } = (await leader(query)) ?? {};
  const [row] = await query<{ name: string }>('SELECT name FROM replica WHERE id = $1', [holder]);
  return row === undefined ? 'another process' : `the replica ${row.name}`;
}
