/** Records of deltas in PostgreSQL. */
import type { Digest } from '../../registry/digest.ts';
import type { CatalogChange } from '../catalog.ts';
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
import { markDirty } from './dirty-marks.ts';
import type { PostgresDatabase, RunQuery } from './postgres-database.ts';

/** {@link Deltas} in a PostgreSQL database. */
export class PostgresDeltas implements Deltas {
  readonly #database: PostgresDatabase;

  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  async replaced(
    registry: string,
    repositories: readonly string[],
  ): Promise<ReadonlyMap<string, readonly ReplacedImage[]>> {
    const rows = await this.#database.query<{
      repository: string;
      tag: string;
      os: string;
      architecture: string;
      digest: Digest;
      at: string;
    }>(
      `SELECT repository, tag, os, architecture, digest, at FROM replaced
       WHERE registry = $1 AND repository = ANY($2) ORDER BY at DESC, tag, digest`,
      [registry, repositories],
    );
    return Map.groupBy(
      rows.map((row) => ({ ...row, at: Number(row.at) })),
      ({ repository }) => repository,
    );
  }

  async forgetReplaced(registry: string, before: number): Promise<void> {
    await this.#database.transaction('write', async (query) => {
      const gone = await query('SELECT FROM replaced WHERE registry = $1 AND at < $2 LIMIT 1', [registry, before]);
      if (gone.length === 0) return;
      await query(
        markDirty(
          `SELECT DISTINCT wanted_delta."index", repository FROM replaced JOIN wanted_delta USING (registry, repository)
           WHERE registry = $1 AND at < $2 AND source = digest`,
        ),
        [registry, before],
      );
      await query('DELETE FROM replaced WHERE registry = $1 AND at < $2', [registry, before]);
    });
  }

  async made(registry: string, targets: readonly Digest[]): Promise<readonly MadeDelta[]> {
    const rows = await this.#database.query<{
      readonly [Key in keyof MadeDelta]: Key extends 'size' | 'layerSize' ? string : MadeDelta[Key];
    }>(
      `SELECT source, target, digest, size, layer_size AS "layerSize", from_layer AS "from", to_layer AS "to", version
       FROM delta WHERE registry = $1 AND target = ANY($2) AND kind = 'made' ORDER BY target, source`,
      [registry, targets],
    );
    return rows.map((row) => ({ ...row, size: Number(row.size), layerSize: Number(row.layerSize) }));
  }

  async want(
    index: string,
    registry: string,
    wanted: ReadonlyMap<string, readonly WantedDelta[]>,
    others: 'keep' | 'remove',
  ): Promise<void> {
    const rows = [...wanted].flatMap(([repository, its]) =>
      its.map(({ target, source, rank }) => [repository, target, source, rank] as const),
    );
    const column = (place: number): readonly unknown[] => rows.map((row) => row[place]);
    await this.#database.atOnce('write', (query) =>
      Promise.all([
        query(`DELETE FROM wanted_delta WHERE "index" = $1 AND ($2 OR repository = ANY($3))`, [
          index,
          others === 'remove',
          [...wanted.keys()],
        ]),
        query(
          `INSERT INTO wanted_delta ("index", registry, repository, target, source, rank)
           SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::text[], $6::integer[])`,
          [index, registry, column(0), column(1), column(2), column(3)],
        ),
      ]),
    );
  }

  async next(manner: string, except?: PassedOver): Promise<PendingDelta | undefined> {
    const [row] = await this.#database.query<{ registry: string; repository: string; target: Digest; source: Digest }>(
      `SELECT registry, repository, target, source FROM wanted_delta AS wanted
       WHERE NOT EXISTS (SELECT FROM delta WHERE ${ENDED}) AND registry <> ALL($2)
         AND registry || ' ' || target || ' ' || source <> ALL($3)
       ORDER BY rank, repository, target, source LIMIT 1`,
      [manner, except?.registries ?? [], except?.pairs.map(pairKey) ?? []],
    );
    return row;
  }

  async record({ registry, source, target }: DeltaPair, outcome: DeltaOutcome, manner: string): Promise<void> {
    const made = outcome.kind === 'made' ? outcome : undefined;
    await this.#database.transaction('write', async (query) => {
      await query(
        `INSERT INTO delta (registry, target, source, kind, manner, reason, digest, size, layer_size, from_layer, to_layer, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (registry, target, source) DO UPDATE SET kind = excluded.kind, manner = excluded.manner, reason = excluded.reason,
           digest = excluded.digest, size = excluded.size, layer_size = excluded.layer_size,
           from_layer = excluded.from_layer, to_layer = excluded.to_layer, version = excluded.version`,
        [
          registry,
          target,
          source,
          outcome.kind,
          manner,
          outcome.kind === 'made' ? null : storable(outcome.reason),
          made?.digest,
          made?.size,
          made?.layerSize,
          made?.from,
          made?.to,
          made && storable(made.version),
        ],
      );
      if (made !== undefined)
        await query(
          markDirty('SELECT "index", repository FROM wanted_delta WHERE registry = $1 AND target = $2 AND source = $3'),
          [registry, target, source],
        );
    });
  }

  async lose(blob: Digest): Promise<void> {
    await this.#database.transaction('write', async (query) => {
      await query(
        markDirty(
          `SELECT DISTINCT wanted_delta."index", repository FROM delta JOIN wanted_delta USING (registry, target, source)
           WHERE digest = $1`,
        ),
        [blob],
      );
      await query('DELETE FROM delta WHERE digest = $1', [blob]);
    });
  }

  async count(manner: string): Promise<DeltaCounts> {
    const [row] = await this.#database.query<Record<keyof DeltaCounts, string>>(
      `SELECT count(*) FILTER (WHERE kind IS NULL) AS pending, count(*) FILTER (WHERE kind = 'made') AS made,
         count(*) FILTER (WHERE kind = 'unsuitable') AS unsuitable, count(*) FILTER (WHERE kind = 'failed') AS failed,
         coalesce(sum(size), 0) AS bytes, coalesce(sum(layer_size - size), 0) AS saved
       FROM (SELECT DISTINCT registry, target, source FROM wanted_delta) AS wanted LEFT JOIN delta ON ${ENDED}`,
      [manner],
    );
    const number = (key: keyof DeltaCounts): number => Number(row?.[key] ?? 0);
    return {
      pending: number('pending'),
      made: number('made'),
      unsuitable: number('unsuitable'),
      failed: number('failed'),
      bytes: number('bytes'),
      saved: number('saved'),
    };
  }

  async clean(indexes: ReadonlySet<string>): Promise<ReadonlySet<Digest>> {
    return this.#database.transaction('write', async (query) => {
      await query('DELETE FROM wanted_delta WHERE "index" <> ALL($1)', [[...indexes]]);
      await query(
        `DELETE FROM delta WHERE NOT EXISTS (
           SELECT FROM wanted_delta AS wanted
           WHERE wanted.registry = delta.registry AND wanted.target = delta.target AND wanted.source = delta.source
         )`,
      );
      const rows = await query<{ digest: Digest }>(`SELECT DISTINCT digest FROM delta WHERE kind = 'made'`);
      return new Set(rows.map(({ digest }) => digest));
    });
  }
}

/** SQL: the outcome of making a delta that is `wanted`, in the manner $1. */
const ENDED = `
  delta.registry = wanted.registry AND delta.target = wanted.target AND delta.source = wanted.source
  AND (delta.kind = 'made' OR delta.manner = $1)`;

/** Adds replaced images, in the transaction of a commit. */
export async function addReplaced(query: RunQuery, registry: string, changes: readonly CatalogChange[]): Promise<void> {
  const images = new Map<string, ReplacedImage>();
  for (const change of changes)
    if (change.kind === 'replaced')
      for (const image of change.images) {
        const { repository, tag, os, architecture, digest } = image;
        images.set(JSON.stringify([repository, tag, os, architecture, digest]), image);
      }
  if (images.size === 0) return;
  const column = <Key extends keyof ReplacedImage>(key: Key): readonly ReplacedImage[Key][] =>
    [...images.values()].map((image) => image[key]);
  await query(
    `INSERT INTO replaced (registry, repository, tag, os, architecture, digest, at)
     SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[])
     ON CONFLICT (registry, repository, tag, os, architecture, digest) DO UPDATE SET at = excluded.at`,
    [
      registry,
      column('repository'),
      column('tag'),
      column('os'),
      column('architecture'),
      column('digest'),
      column('at'),
    ],
  );
}

/** A text of PostgreSQL holds neither U+0000 nor lone surrogates. */
function storable(text: string): string {
  return text.replaceAll('\0', '').toWellFormed();
}
