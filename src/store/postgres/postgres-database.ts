/** Connections to PostgreSQL: one statement, or one transaction; what fails there is a {@link StoreError}. */
import { type ClientBase, Pool, type PoolClient, type PoolConfig, type QueryConfig } from 'pg';
import { StoreError } from '../store-error.ts';
import { databaseName } from './connection.ts';
import { explainFault } from './database-fault.ts';

/** Time until a connection is given up, in milliseconds. */
const CONNECT_TIMEOUT = 5_000;
/**
 * Time that the client gives a statement, in milliseconds: in a transaction the database's own limit ends it before,
 * unless the network drops what it says.
 */
const QUERY_TIMEOUT = 65_000;
/** The same for a migration, which changes large tables, or waits for another replica that does. */
const MIGRATION_TIMEOUT = 3_600_000;
/**
 * Settings of a transaction: limits, in milliseconds, so that one that hangs cannot hold up the others; and statements
 * are not compiled, which takes longer than to run them. Not of the session, which PgBouncer gives to another client
 * after each transaction.
 */
const SETTINGS = setLocal({
  idle_in_transaction_session_timeout: 2_000,
  tcp_user_timeout: 5_000,
  lock_timeout: 5_000,
  statement_timeout: 60_000,
  jit: 'off',
});

/** A row, by column. */
export type Row = Readonly<Record<string, unknown>>;
/** Runs a statement with its parameters (`$1`, `$2`, …), and returns the rows. */
export type RunQuery = <R extends Row = Row>(sql: string, values?: readonly unknown[]) => Promise<readonly R[]>;

/**
 * Runs statements on one connection.
 * @param timeout limit of each statement, in milliseconds; that of the connection unless given
 */
export function queryOn(client: ClientBase, timeout?: number): RunQuery {
  return async <R extends Row = Row>(text: string, values: readonly unknown[] = []) => {
    const config: QueryConfig & { readonly query_timeout: number | undefined } = {
      text,
      values: [...values],
      query_timeout: timeout,
    };
    return (await client.query<R>(config)).rows;
  };
}

/** `write` is fenced; `snapshot` reads what is there at its start; `migration` comes before there is a lease. */
export type Isolation = 'write' | 'snapshot' | 'migration';
const BEGIN: Readonly<Record<Isolation, string>> = {
  write: `BEGIN; ${SETTINGS}`,
  // Another replica may be migrating, and a table may be large.
  migration: `BEGIN; ${SETTINGS}; ${setLocal({ lock_timeout: 0, statement_timeout: 0 })}`,
  snapshot: `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${SETTINGS}`,
};

function setLocal(parameters: Readonly<Record<string, number | string>>): string {
  return Object.entries(parameters)
    .map(([name, value]) => `SET LOCAL ${name} = ${value}`)
    .join('; ');
}

/** Begins every transaction that writes; throws if this process may not write. */
export type Fence = (query: RunQuery, database: string) => Promise<void>;

/** A pool of connections to one database. */
export class PostgresDatabase {
  /** Host and database, without user and password: for messages. */
  readonly name: string;
  readonly #config: PoolConfig;
  readonly #pool: Pool;
  readonly #fence: Fence | undefined;
  #closed = false;

  constructor(config: PoolConfig, fence?: Fence) {
    this.#config = config;
    this.name = databaseName(config);
    this.#fence = fence;
    this.#pool = new Pool({
      connectionTimeoutMillis: CONNECT_TIMEOUT,
      query_timeout: QUERY_TIMEOUT,
      keepAlive: true,
      application_name: 'regindexer',
      // Statements are sent without waiting for the answers to those before.
      pipeline: true,
      ...config,
    });
    // Idle connections that break are replaced when they are needed.
    this.#pool.on('error', () => undefined);
  }

  /**
   * Runs one statement.
   * @throws StoreError
   */
  readonly query: RunQuery = async <R extends Row = Row>(
    sql: string,
    values: readonly unknown[] = [],
  ): Promise<readonly R[]> => {
    try {
      return (await this.#pool.query<R>(sql, [...values])).rows;
    } catch (error) {
      throw this.#explained(error);
    }
  };

  /**
   * Runs one statement that writes, fenced.
   * @throws StoreError
   */
  async write(sql: string, values: readonly unknown[]): Promise<void> {
    await this.atOnce('write', (query) => query(sql, values));
  }

  /**
   * Runs `work` in one transaction, whole or not at all.
   * @throws StoreError; what `work` throws
   */
  transaction<T>(isolation: Isolation, work: (query: RunQuery) => Promise<T>): Promise<T> {
    return this.#onClient(
      async (client, query) => {
        await this.#begin(client, isolation, query);
        const result = await work(query);
        await query('COMMIT');
        return result;
      },
      isolation === 'migration' ? MIGRATION_TIMEOUT : undefined,
    );
  }

  /**
   * Runs `work` in one transaction; it must send all its statements before it waits for any of them. They take one round
   * trip, and one more to commit what they write.
   * @throws StoreError; what `work` throws
   */
  atOnce<T>(isolation: Exclude<Isolation, 'migration'>, work: (query: RunQuery) => Promise<T>): Promise<T> {
    return this.#onClient(async (client, query) => {
      const [begun, worked, read] = await Promise.allSettled([
        this.#begin(client, isolation, query),
        work(query),
        isolation === 'snapshot' && client.query('COMMIT'),
      ]);
      for (const each of [begun, worked, read]) if (each.status === 'rejected') throw each.reason;
      // Writes are committed only once the fence has let it through.
      if (isolation === 'write') await client.query('COMMIT');
      return (worked as PromiseFulfilledResult<T>).value;
    });
  }

  /** Begins a transaction; all its statements are sent before anything is waited for. */
  async #begin(client: PoolClient, isolation: Isolation, query: RunQuery): Promise<void> {
    await Promise.all([client.query(BEGIN[isolation]), isolation === 'write' && this.#fence?.(query, this.name)]);
  }

  /**
   * Runs `work` on one connection, and rolls back what it did not commit.
   * @param timeout as for {@link queryOn}
   * @throws StoreError; what `work` throws
   */
  async #onClient<T>(work: (client: PoolClient, query: RunQuery) => Promise<T>, timeout?: number): Promise<T> {
    let client: PoolClient;
    try {
      client = await this.#pool.connect();
    } catch (error) {
      throw this.#explained(error);
    }
    let fault: Error | undefined;
    // The pool does not listen while a connection is in use, and an error that nobody hears ends the process.
    const onError = (error: Error): void => {
      fault ??= error;
    };
    client.on('error', onError);
    let ended = false;
    const run = queryOn(client, timeout);
    const query: RunQuery = async (sql, values) => {
      // One of several statements at once may have failed: another would be committed by itself.
      if (ended) throw new TypeError('the transaction has ended');
      return run(sql, values);
    };
    try {
      return await work(client, query);
    } catch (error) {
      ended = true;
      await client.query('ROLLBACK').catch((failed: Error) => {
        fault = failed;
      });
      throw this.#explained(error);
    } finally {
      ended = true;
      // A connection that could not roll back is closed.
      client.release(fault);
      client.off('error', onError);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#pool.end();
  }

  #explained(error: unknown): unknown {
    return this.#closed && error instanceof Error && !(error instanceof StoreError)
      ? StoreError.of('closed', this.name, undefined, { cause: error })
      : explainFault(error, this.#config);
  }
}
