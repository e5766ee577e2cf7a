/** Records of deltas in the SQLite file of the catalog. */
import type { DatabaseSync } from 'node:sqlite';
import type { Digest } from '../../registry/digest.ts';
import {
  type DeltaCounts,
  type DeltaOutcome,
  type DeltaPair,
  type Deltas,
  type MadeDelta,
  pairKey,
  type PassedOver,
  type PendingDelta,
  type ReplacedImage,
  type WantedDelta,
} from '../deltas.ts';
import { SqliteFile } from './database.ts';

/** {@link Deltas} on the connection of a catalog. */
export class SqliteDeltas extends SqliteFile implements Deltas {
  readonly #statements: Statements;

  constructor(file: string, database: DatabaseSync) {
    super(file, database);
    this.#statements = prepareStatements(database);
  }

  /** Adds replaced images, in the transaction of a commit. */
  addReplaced(registry: string, images: readonly ReplacedImage[]): void {
    for (const { repository, tag, os, architecture, digest, at } of images)
      this.#statements.addReplaced.run(registry, repository, tag, os, architecture, digest, at);
  }

  /** Removes the replaced images of a registry, in the transaction that removes the registry. */
  removeRegistry(registry: string): void {
    this.#statements.removeRegistry.run(registry);
  }

  async replaced(
    registry: string,
    repositories: readonly string[],
  ): Promise<ReadonlyMap<string, readonly ReplacedImage[]>> {
    return this.guard(() => {
      const found = new Map<string, readonly ReplacedImage[]>();
      for (const repository of repositories) {
        const rows = this.#statements.replaced.all(registry, repository) as Omit<ReplacedImage, 'repository'>[];
        if (rows.length > 0)
          found.set(
            repository,
            rows.map((row) => ({ repository, ...row })),
          );
      }
      return found;
    });
  }

  async forgetReplaced(registry: string, before: number): Promise<void> {
    const { markReplaced, forgetReplaced, anyReplaced } = this.#statements;
    if (this.guard(() => anyReplaced.get(registry, before)) === undefined) return;
    this.transaction(() => {
      markReplaced.run(this.#nextMark(), registry, before);
      forgetReplaced.run(registry, before);
    });
  }

  async made(registry: string, targets: readonly Digest[]): Promise<readonly MadeDelta[]> {
    return this.guard(() =>
      targets.flatMap((target) =>
        this.#statements.made.all(registry, target).map((row) => ({ ...row }) as unknown as MadeDelta),
      ),
    );
  }

  async want(
    index: string,
    registry: string,
    wanted: ReadonlyMap<string, readonly WantedDelta[]>,
    others: 'keep' | 'remove',
  ): Promise<void> {
    const { wantedOf, removeAllWanted, removeWanted, addWanted } = this.#statements;
    const changed = this.guard(() =>
      [...wanted].filter(([repository, its]) => {
        const before = wantedOf.all(index, repository) as unknown as WantedDelta[];
        return keyOf(before) !== keyOf(its);
      }),
    );
    if (others === 'keep' && changed.length === 0) return;
    this.transaction(() => {
      if (others === 'remove') removeAllWanted.run(index);
      for (const [repository, its] of others === 'remove' ? wanted : changed) {
        removeWanted.run(index, repository);
        for (const { target, source, rank } of its) addWanted.run(index, repository, target, source, registry, rank);
      }
    });
  }

  async next(manner: string, except?: PassedOver): Promise<PendingDelta | undefined> {
    return this.guard(() => {
      const registries = JSON.stringify(except?.registries ?? []);
      const pairs = JSON.stringify(except?.pairs.map(pairKey) ?? []);
      const row = this.#statements.next.get(manner, registries, pairs) as PendingDelta | undefined;
      return row && { ...row };
    });
  }

  async record({ registry, source, target }: DeltaPair, outcome: DeltaOutcome, manner: string): Promise<void> {
    this.transaction(() => {
      const { record, markPair } = this.#statements;
      if (outcome.kind === 'made') {
        const { digest, size, layerSize, from, to, version } = outcome;
        record.run(registry, target, source, 'made', manner, null, digest, size, layerSize, from, to, version);
        markPair.run(this.#nextMark(), registry, target, source);
      } else
        record.run(registry, target, source, outcome.kind, manner, outcome.reason, null, null, null, null, null, null);
    });
  }

  async lose(blob: Digest): Promise<void> {
    this.transaction(() => {
      this.#statements.markBlob.run(this.#nextMark(), blob);
      this.#statements.lose.run(blob);
    });
  }

  async count(manner: string): Promise<DeltaCounts> {
    return this.guard(() => ({ ...(this.#statements.count.get(manner) as unknown as DeltaCounts) }));
  }

  async clean(indexes: ReadonlySet<string>): Promise<ReadonlySet<Digest>> {
    const { wantingIndexes, removeAllWanted, removeUnwanted, blobs } = this.#statements;
    const gone = this.guard(() => wantingIndexes.all() as { index: string }[]).filter(
      ({ index }) => !indexes.has(index),
    );
    this.transaction(() => {
      for (const { index } of gone) removeAllWanted.run(index);
      removeUnwanted.run();
    });
    return this.guard(() => new Set((blobs.all() as { digest: Digest }[]).map(({ digest }) => digest)));
  }

  #nextMark(): number {
    return (this.#statements.nextMark.get() as { last_mark: number }).last_mark;
  }
}

function keyOf(wanted: readonly WantedDelta[]): string {
  return JSON.stringify(wanted.map(({ target, source, rank }) => [target, source, rank].join(' ')).toSorted());
}

type Statements = ReturnType<typeof prepareStatements>;

/** SQL: the outcome of making a delta that is `wanted`, in the manner `?`. */
const ENDED = `
  delta.registry = wanted.registry AND delta.target = wanted.target AND delta.source = wanted.source
  AND (delta.kind = 'made' OR delta.manner = ?)`;

function prepareStatements(database: DatabaseSync) {
  return {
    addReplaced: database.prepare(
      'INSERT INTO replaced (registry, repository, tag, os, architecture, digest, at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at',
    ),
    removeRegistry: database.prepare('DELETE FROM replaced WHERE registry = ?'),
    replaced: database.prepare(
      'SELECT tag, os, architecture, digest, at FROM replaced WHERE registry = ? AND repository = ? ORDER BY at DESC, tag, digest',
    ),
    anyReplaced: database.prepare('SELECT 1 FROM replaced WHERE registry = ? AND at < ? LIMIT 1'),
    markReplaced: database.prepare(
      `INSERT INTO dirty ("index", repository, mark)
       SELECT DISTINCT wanted_delta."index", repository, ? FROM replaced JOIN wanted_delta USING (registry, repository)
       WHERE registry = ? AND at < ? AND source = digest
       ON CONFLICT DO UPDATE SET mark = excluded.mark`,
    ),
    forgetReplaced: database.prepare('DELETE FROM replaced WHERE registry = ? AND at < ?'),
    made: database.prepare(
      `SELECT source, target, digest, size, layer_size AS layerSize, from_layer AS "from", to_layer AS "to", version
       FROM delta WHERE registry = ? AND target = ? AND kind = 'made' ORDER BY source`,
    ),
    wantedOf: database.prepare('SELECT target, source, rank FROM wanted_delta WHERE "index" = ? AND repository = ?'),
    removeAllWanted: database.prepare('DELETE FROM wanted_delta WHERE "index" = ?'),
    removeWanted: database.prepare('DELETE FROM wanted_delta WHERE "index" = ? AND repository = ?'),
    addWanted: database.prepare(
      'INSERT INTO wanted_delta ("index", repository, target, source, registry, rank) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    next: database.prepare(
      `SELECT registry, repository, target, source FROM wanted_delta AS wanted
       WHERE NOT EXISTS (SELECT 1 FROM delta WHERE ${ENDED}) AND registry NOT IN (SELECT value FROM json_each(?))
         AND registry || ' ' || target || ' ' || source NOT IN (SELECT value FROM json_each(?))
       ORDER BY rank, repository, target, source LIMIT 1`,
    ),
    // Without sorting: an index of the table has the pairs in order.
    count: database.prepare(
      `SELECT count(*) FILTER (WHERE kind IS NULL) AS pending, count(*) FILTER (WHERE kind = 'made') AS made,
         count(*) FILTER (WHERE kind = 'unsuitable') AS unsuitable, count(*) FILTER (WHERE kind = 'failed') AS failed,
         coalesce(sum(size), 0) AS bytes, coalesce(sum(layer_size - size), 0) AS saved
       FROM (SELECT DISTINCT registry, target, source FROM wanted_delta) AS wanted LEFT JOIN delta ON ${ENDED}`,
    ),
    record: database.prepare(
      `INSERT OR REPLACE INTO delta (registry, target, source, kind, manner, reason, digest, size, layer_size, from_layer, to_layer, version)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    nextMark: database.prepare('UPDATE catalog SET last_mark = last_mark + 1 RETURNING last_mark'),
    markPair: database.prepare(
      `INSERT INTO dirty ("index", repository, mark)
       SELECT "index", repository, ? FROM wanted_delta WHERE registry = ? AND target = ? AND source = ?
       ON CONFLICT DO UPDATE SET mark = excluded.mark`,
    ),
    markBlob: database.prepare(
      `INSERT INTO dirty ("index", repository, mark)
       SELECT DISTINCT wanted_delta."index", repository, ? FROM delta JOIN wanted_delta USING (registry, target, source) WHERE digest = ?
       ON CONFLICT DO UPDATE SET mark = excluded.mark`,
    ),
    lose: database.prepare('DELETE FROM delta WHERE digest = ?'),
    wantingIndexes: database.prepare('SELECT DISTINCT "index" FROM wanted_delta'),
    removeUnwanted: database.prepare(
      `DELETE FROM delta WHERE NOT EXISTS (
         SELECT 1 FROM wanted_delta AS wanted
         WHERE wanted.registry = delta.registry AND wanted.target = delta.target AND wanted.source = delta.source
       )`,
    ),
    blobs: database.prepare(`SELECT DISTINCT digest FROM delta WHERE kind = 'made'`),
  };
}
