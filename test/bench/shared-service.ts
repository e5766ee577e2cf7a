/** Replicas of the service over one PostgreSQL, each of which reaches it through a proxy that counts. */
import { setTimeout as pause } from 'node:timers/promises';
import { Client, type ClientConfig } from 'pg';
import { request } from 'undici';
import { freePort } from '../peers/free-port.ts';
import { type Postgresql, startPostgresql } from '../peers/postgresql.ts';
import { startProgram } from './cli.ts';
import { type CountingProxy, startCountingProxy } from './counting-proxy.ts';
import { cpuSecondsWithChildren } from './process-usage.ts';

const PAUSE = 20;

/** What the database says of itself. */
export interface DatabaseFigures {
  /** Of all its processes, in seconds. */
  readonly cpu: number;
  /** Bytes of its write-ahead log since it was made. */
  readonly wal: number;
  /** Bytes of all databases. */
  readonly size: number;
  /** Bytes of all chunks, also of those that are not published any more. */
  readonly chunks: number;
}

/** A database for replicas; it is synced to disk as in use. */
export class SharedDatabase implements AsyncDisposable {
  readonly #server: Postgresql;
  readonly #client: Client;
  readonly #connection: ClientConfig;

  private constructor(server: Postgresql, connection: ClientConfig) {
    this.#server = server;
    this.#connection = connection;
    this.#client = new Client(connection);
  }

  static async start(): Promise<SharedDatabase> {
    const server = await startPostgresql({ fsync: 'on' });
    const database = new SharedDatabase(server, await server.createDatabase());
    await database.#client.connect();
    return database;
  }

  /** Its port. */
  get port(): number {
    return this.#connection.port ?? 0;
  }

  /** How a program reaches it through a port of this machine. */
  store(port: number): string {
    const { user, database } = this.#connection;
    return `postgres://${user}@127.0.0.1:${port}/${database}`;
  }

  async figures(): Promise<DatabaseFigures> {
    const { rows } = await this.#client.query<Record<'wal' | 'size' | 'chunks', string>>(
      `SELECT pg_current_wal_lsn() - '0/0' AS wal, pg_database_size(current_database()) AS size,
         (SELECT coalesce(sum(octet_length(head) + octet_length(body)), 0) FROM chunk) AS chunks`,
    );
    const [{ wal, size, chunks } = { wal: 0, size: 0, chunks: 0 }] = rows;
    return {
      cpu: await cpuSecondsWithChildren(this.#server.pid),
      wal: Number(wal),
      size: Number(size),
      chunks: Number(chunks),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end();
    await this.#server[Symbol.asyncDispose]();
  }
}

/** One replica. */
export interface BenchReplica {
  readonly pid: number;
  readonly url: string;
  readonly proxy: CountingProxy;
}

/** Replicas of one configuration. The first one leads. */
export interface BenchReplicas extends AsyncDisposable {
  readonly all: readonly [BenchReplica, ...BenchReplica[]];
}

/** Options of {@link startReplicas}. */
export interface BenchReplicasOptions {
  readonly database: SharedDatabase;
  readonly count: number;
  /** Without `store` and the port. */
  readonly config: { readonly server?: object; readonly [section: string]: unknown };
  /** The port of the last one; a free one unless given. */
  readonly lastPort?: number;
  /** Awaited after the first one was started, before the others are. */
  readonly onFirst?: (first: BenchReplica) => Promise<void>;
}

/** Starts replicas, and waits until all are ready. */
export async function startReplicas({
  database,
  count,
  config: { server, ...config },
  lastPort,
  onFirst,
}: BenchReplicasOptions): Promise<BenchReplicas> {
  await using started = new AsyncDisposableStack();
  const all: BenchReplica[] = [];
  for (let number = 1; number <= count; number++) {
    const proxy = started.use(await startCountingProxy(database.port));
    const port = number === count && lastPort !== undefined ? lastPort : await freePort();
    const service = started.use(
      await startProgram({ config: { ...config, store: database.store(proxy.port), server: { ...server, port } } }),
    );
    const replica = { pid: service.pid, url: service.url, proxy };
    all.push(replica);
    if (number === 1) await onFirst?.(replica);
  }
  const [first, ...others] = all;
  if (first === undefined) throw new RangeError('no replica was asked for');
  for (const { url } of all) await ready(url);
  const owned = started.move();
  return { all: [first, ...others], [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function ready(url: string): Promise<void> {
  for (;;) {
    const { statusCode, body } = await request(`${url}/readyz`);
    await body.dump();
    if (statusCode === 200) return;
    await pause(PAUSE);
  }
}
