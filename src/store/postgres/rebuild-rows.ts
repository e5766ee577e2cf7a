/** Requests for rebuilds, which any replica takes and the leader serves; and the rebuilds, which all replicas show. */
import { CHANNEL } from './channel.ts';
import type { PostgresDatabase, Row } from './postgres-database.ts';

const KEPT_REQUESTS = 100;
const KEPT_REBUILDS = 50;

/** `notification`: nobody asks for its outcome, so that it is removed once it has ended. */
export type RequestKind = 'request' | 'notification';

/** A request to the leader. */
export interface RequestRow<Scope> {
  readonly id: string;
  readonly kind: RequestKind;
  readonly reason: string;
  readonly scope: Scope;
  /** By the database's clock, in milliseconds since the epoch. */
  readonly asked: number;
}

/** A request, or a rebuild. */
export interface FoundRow<Scope, Rebuild> {
  readonly ended: boolean;
  /** `undefined` for a request that no leader has begun. */
  readonly rebuild: Rebuild | undefined;
  readonly request: RequestRow<Scope> | undefined;
}

/** Rebuilds that were changed, oldest change first; `change` is the number of the last one. */
export interface ChangedRebuilds<Rebuild> {
  readonly change: number;
  readonly rebuilds: readonly Rebuild[];
}

/** Changes that the leader writes. */
export type RowChange<Rebuild> =
  /** Rebuild that a request leads to, again and again as that changes. */
  | { readonly kind: 'begun'; readonly request: string; readonly rebuild: Rebuild }
  /**
   * A request has ended, in the state of its rebuild if it was given one. The last 100 are kept; a notification is
   * removed at once.
   */
  | { readonly kind: 'ended'; readonly request: string; readonly rebuild?: Rebuild | undefined }
  /** The state of a rebuild, for all replicas; live while it is queued or running. The last 50 of the others are kept. */
  | { readonly kind: 'state'; readonly id: string; readonly rebuild: Rebuild; readonly isLive: boolean };

const ASKED = 'floor(extract(epoch FROM asked) * 1000)::float8 AS asked';
const NOTIFY_REBUILDS = `pg_notify('${CHANNEL}', '{"rebuilds": true}')`;

/** Adding the same again, after an answer that was lost, changes nothing. */
const ASK = `
  WITH asked AS (INSERT INTO request (id, kind, reason, scope) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING)
  SELECT pg_notify('${CHANNEL}', '{"request": true}')`;

const BEGIN = `
  UPDATE request SET rebuild = $2 WHERE id = $1 AND ended IS NULL
  RETURNING ${NOTIFY_REBUILDS}`;

const END = `
  WITH gone AS (
    DELETE FROM request WHERE id = $1 AND kind = 'notification'
  ), done AS (
    UPDATE request SET ended = clock_timestamp(), rebuild = coalesce($2, rebuild)
    WHERE id = $1 AND kind = 'request' AND ended IS NULL
    RETURNING id
  ), forgotten AS (
    DELETE FROM request WHERE ended IS NOT NULL AND id NOT IN (
      SELECT id FROM request WHERE ended IS NOT NULL ORDER BY ended DESC, place DESC
      LIMIT greatest(0, ${KEPT_REQUESTS} - (SELECT count(*) FROM done))
    )
  )
  SELECT ${NOTIFY_REBUILDS} FROM done`;

/** The counter's row is locked until the end of the transaction: changes become visible in the order of their numbers. */
const PUT = `
  WITH next AS (
    UPDATE rebuild_change SET change = change + 1 RETURNING change
  ), put AS (
    INSERT INTO rebuild (id, change, live, rebuild) SELECT $1, change, $2::boolean, $3::json FROM next
    ON CONFLICT (id) DO UPDATE SET change = excluded.change, live = excluded.live, rebuild = excluded.rebuild
  ), forgotten AS (
    DELETE FROM rebuild WHERE NOT live AND id <> $1 AND id NOT IN (
      SELECT id FROM rebuild WHERE NOT live AND id <> $1 ORDER BY change DESC
      LIMIT CASE WHEN $2 THEN ${KEPT_REBUILDS} ELSE ${KEPT_REBUILDS - 1} END
    )
  )
  SELECT ${NOTIFY_REBUILDS}`;

const SQL: Readonly<Record<RowChange<unknown>['kind'], string>> = { begun: BEGIN, ended: END, state: PUT };

function valuesOf(change: RowChange<unknown>): readonly unknown[] {
  const rebuild = change.rebuild === undefined ? null : JSON.stringify(change.rebuild);
  return change.kind === 'state' ? [change.id, change.isLive, rebuild] : [change.request, rebuild];
}

/**
 * Rows of requests and rebuilds. The store does not look into scopes and rebuilds: they are JSON, of the types that the
 * caller gives.
 */
export class RebuildRows<Scope = unknown, Rebuild = unknown> {
  readonly #database: PostgresDatabase;

  /** @param database fences the writes of the leader */
  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  /**
   * Asks the leader for a rebuild. Not fenced: any replica may ask. May be called again with the same id.
   * @throws StoreError
   */
  async ask({ id, kind, reason, scope }: Omit<RequestRow<Scope>, 'asked'>): Promise<void> {
    await this.#database.query(ASK, [id, kind, JSON.stringify(reason), JSON.stringify(scope)]);
  }

  /**
   * Requests that have not ended, oldest first; also those that an earlier leader had begun.
   * @throws StoreError
   */
  waiting(): Promise<readonly RequestRow<Scope>[]> {
    return this.#database.query<RequestRow<Scope> & Row>(
      `SELECT id, kind, reason, scope, ${ASKED} FROM request WHERE ended IS NULL ORDER BY place`,
    );
  }

  /**
   * Writes in one transaction, for the leader alone; may be called again with the same.
   * @throws StoreError
   */
  async write(...changes: readonly RowChange<Rebuild>[]): Promise<void> {
    await this.#database.atOnce('write', (query) =>
      Promise.all(changes.map((change) => query(SQL[change.kind], valuesOf(change)))),
    );
  }

  /**
   * Ends what earlier leaders left live; called by a leader before its first rebuild.
   * @param failed returns a rebuild as it is shown from now on
   * @throws StoreError
   */
  async abandon(failed: (rebuild: Rebuild) => Rebuild): Promise<void> {
    await this.#database.transaction('write', async (query) => {
      const rows = await query<{ id: string; rebuild: Rebuild }>('SELECT id, rebuild FROM rebuild WHERE live');
      await Promise.all(
        rows.map(({ id, rebuild }) =>
          query(PUT, valuesOf({ kind: 'state', id, rebuild: failed(rebuild), isLive: false })),
        ),
      );
    });
  }

  /**
   * The request of this id, else the rebuild; `undefined` if there is neither, or no longer.
   * @throws StoreError
   */
  async get(id: string): Promise<FoundRow<Scope, Rebuild> | undefined> {
    const [request] = await this.#database.query<RequestRow<Scope> & Ended<Rebuild>>(
      `SELECT id, kind, reason, scope, ${ASKED}, ended IS NOT NULL AS ended, rebuild FROM request WHERE id = $1`,
      [id],
    );
    if (request !== undefined) {
      const { ended, rebuild, ...asked } = request;
      return { ended, rebuild: rebuild ?? undefined, request: asked };
    }
    const [found] = await this.#database.query<Ended<Rebuild>>(
      'SELECT NOT live AS ended, rebuild FROM rebuild WHERE id = $1',
      [id],
    );
    return found && { ended: found.ended, rebuild: found.rebuild ?? undefined, request: undefined };
  }

  /**
   * Returns what has changed since the change of this number; 0 for all.
   * @throws StoreError
   */
  async changedSince(change: number): Promise<ChangedRebuilds<Rebuild>> {
    const rows = await this.#database.query<{ change: string; rebuild: Rebuild }>(
      'SELECT change, rebuild FROM rebuild WHERE change > $1 ORDER BY change',
      [change],
    );
    return { change: Number(rows.at(-1)?.change ?? change), rebuilds: rows.map(({ rebuild }) => rebuild) };
  }
}

type Ended<Rebuild> = Row & { readonly ended: boolean; readonly rebuild: Rebuild | null };
