/** The replicas that share a database: what each has, and when it last gave a sign of life. */
import { performance } from 'node:perf_hooks';
import type { PostgresDatabase } from './postgres-database.ts';

/** One start of the program. */
export interface ReplicaIdentity {
  /** Names this replica, and this start of it. */
  readonly id: string;
  /** Host name. A replica that crashed is succeeded by the next one of its name. */
  readonly name: string;
  /** Version of the program. */
  readonly version: string;
  /** Number of the format in which it publishes. */
  readonly format: number;
}

/** Configuration and publications of a replica. */
export interface ReplicaState {
  /** Hash of all in its configuration that changes what is published. */
  readonly configuration: string;
  /** The version of the publication that it serves, by index. */
  readonly shown: Readonly<Record<string, number>>;
}

/** A replica as all see it. Times are the database's, in milliseconds since the epoch. */
export interface ReplicaRow extends ReplicaIdentity, ReplicaState {
  /** Since when it has its configuration. */
  readonly configured: number;
  readonly started: number;
  /** Its last sign of life. */
  readonly seen: number;
  /** Whether that was within the last 6 s. */
  readonly living: boolean;
}

/** How long a replica is taken to live after a sign of life, in milliseconds; and time after it to look again. */
const LIFETIME_MS = 6_000;
const MARGIN = 20;
const LIFETIME = `interval '${LIFETIME_MS} milliseconds'`;
/** SQL: whether a row of `replica` is that of one that lives. */
export const LIVES = `seen >= now() - ${LIFETIME}`;

/**
 * Writes the own row and reads all. `now()` is the same in the whole statement. A replica that crashed is removed after
 * an hour, or by its successor of the same name, which inherits the time of its configuration: a restart brings none.
 */
const BEAT = `
  WITH gone AS (
    DELETE FROM replica WHERE id IN (
      SELECT id FROM replica
      WHERE id <> $1 AND (seen < now() - interval '1 hour' OR (name = $2 AND seen < now() - ${LIFETIME}))
      FOR UPDATE SKIP LOCKED
    )
    RETURNING id, name, configuration, configured
  ), inherited AS (
    SELECT min(configured) AS configured FROM gone WHERE name = $2 AND configuration = $5
  ), own AS (
    INSERT INTO replica AS before (id, name, version, format, configuration, configured, started, seen, shown)
    SELECT $1, $2, $3, $4::integer, $5, least(now() - $6 * interval '1 millisecond', configured),
      now() - $7 * interval '1 millisecond', now(), $8::json
    FROM inherited
    ON CONFLICT (id) DO UPDATE SET configuration = excluded.configuration, seen = excluded.seen, shown = excluded.shown,
      configured = CASE WHEN before.configuration = excluded.configuration
        THEN least(before.configured, (SELECT configured FROM inherited)) ELSE excluded.configured END
    RETURNING *
  )
  SELECT id, name, version, format, configuration, shown, ${LIVES} AS living,
    ${['configured', 'started', 'seen'].map((time) => `round(extract(epoch FROM ${time}) * 1000)::float8 AS ${time}`).join()}
  FROM (
    SELECT * FROM own
    UNION ALL SELECT * FROM replica WHERE id <> $1 AND id NOT IN (SELECT id FROM gone)
  ) AS replicas
  ORDER BY replicas.started, id`;

/** Tells the other replicas of this one. Not fenced: each replica writes its own row. */
export class Replicas {
  readonly #database: PostgresDatabase;
  readonly #own: ReplicaIdentity;
  /** Monotonic times: the row may be made anew long after. */
  readonly #started = performance.now();
  #configured = this.#started;
  #configuration: string | undefined;

  /** @param database one with a short `query_timeout`: a connection that hangs for longer takes the replica for dead */
  constructor(database: PostgresDatabase, own: ReplicaIdentity) {
    this.#database = database;
    this.#own = own;
  }

  /**
   * Gives a sign of life; returns all replicas, oldest first, this one included.
   * @throws StoreError
   */
  async beat({ configuration, shown }: ReplicaState): Promise<readonly ReplicaRow[]> {
    const { id, name, version, format } = this.#own;
    if (configuration !== this.#configuration) this.#configured = performance.now();
    this.#configuration = configuration;
    return this.#database.query<ReplicaRow & Readonly<Record<string, unknown>>>(BEAT, [
      id,
      name,
      version,
      format,
      configuration,
      performance.now() - this.#configured,
      performance.now() - this.#started,
      JSON.stringify(shown),
    ]);
  }

  /**
   * Tells at once what this replica serves.
   * @throws StoreError
   */
  async show(shown: ReplicaState['shown']): Promise<void> {
    await this.#database.query('UPDATE replica SET shown = $2 WHERE id = $1', [this.#own.id, JSON.stringify(shown)]);
  }

  /** Removes this replica. Best effort: without it, it is taken for dead after 6 s. */
  async leave(): Promise<void> {
    await this.#database.query('DELETE FROM replica WHERE id = $1', [this.#own.id]).catch(() => undefined);
  }
}

/**
 * Returns the time until the first of the others that live is taken for dead, unless it gives another sign of life, in
 * milliseconds.
 * @param replicas as {@link Replicas.beat} of the replica `id` has just returned them
 */
export function nextDeath(replicas: readonly ReplicaRow[], id: string): number {
  const now = replicas.find((replica) => replica.id === id)?.seen ?? 0;
  const others = replicas.filter((replica) => replica.living && replica.id !== id);
  return Math.min(...others.map(({ seen }) => seen + LIFETIME_MS + MARGIN - now));
}

/**
 * Says whether all living replicas serve these versions of indexes, as far as they read publications of this format: to
 * others, the versions mean nothing. One that does not serve an index yet, or has another configuration without it, is
 * not waited for.
 */
export function allServe(
  replicas: readonly ReplicaRow[],
  versions: ReadonlyMap<string, number>,
  format: number,
): boolean {
  return replicas
    .filter((replica) => replica.living && replica.format === format)
    .every(({ shown }) => versions.entries().every(([index, version]) => (shown[index] ?? Infinity) >= version));
}

/**
 * Says whether a replica may lead: of those that live, the newest format does, and of these the configuration that came
 * last to one of them. So at least one may, and the newest never waits for another.
 */
export function mayLead(replicas: readonly ReplicaRow[], id: string): boolean {
  const living = replicas.filter((replica) => replica.living);
  const format = Math.max(...living.map((replica) => replica.format));
  const able = living.filter((replica) => replica.format === format);
  const last = able.toSorted((a, b) => b.configured - a.configured || (a.configuration < b.configuration ? -1 : 1))[0];
  return able.some((replica) => replica.id === id && replica.configuration === last?.configuration);
}
