/** The catalog in PostgreSQL. A commit of any size takes the same few statements, since each is a round trip. */
import type { Digest } from '../../registry/digest.ts';
import { manifestBytes, TAG_BYTES } from '../catalog.ts';
import type {
  Catalog,
  CatalogChange,
  DirtyRepositories,
  Image,
  ImageIcon,
  KnownManifest,
  KnownRegistry,
  KnownRepository,
  TagRecord,
  TagsByRepository,
  TakenBy,
} from '../catalog.ts';
import { CommitMarks } from '../commit-marks.ts';
import { markDirty } from './dirty-marks.ts';
import type { PostgresDatabase, RunQuery } from './postgres-database.ts';
import { addReplaced, PostgresDeltas } from './postgres-deltas.ts';

/** {@link Catalog} in a PostgreSQL database. */
export class PostgresCatalog implements Catalog {
  readonly id: string;
  readonly deltas: PostgresDeltas;
  readonly #database: PostgresDatabase;
  /** Whether something was committed since it was last pruned. */
  #unpruned = true;

  private constructor(database: PostgresDatabase, id: string) {
    this.#database = database;
    this.id = id;
    this.deltas = new PostgresDeltas(database);
  }

  /**
   * Opens the catalog in a database whose tables are there.
   * @throws StoreError
   */
  static async open(database: PostgresDatabase): Promise<PostgresCatalog> {
    const [row] = await database.query<{ id: string }>('SELECT id FROM catalog');
    if (row === undefined) throw new TypeError(`${database.name} has lost the id of its catalog`);
    return new PostgresCatalog(database, row.id);
  }

  async known(registry: string, names?: readonly string[]): Promise<KnownRegistry> {
    const [repositories, manifests] = await this.#database.atOnce('snapshot', (query) =>
      Promise.all([
        readRepositories(query, registry, names),
        names === undefined
          ? readReached(
              query,
              `SELECT unnest(kept || digest) COLLATE "C" FROM ${TAGS} WHERE registry = $1`,
              [registry],
              '',
            )
          : readReached(
              query,
              `SELECT unnest(kept || digest) COLLATE "C" FROM ${TAGS} WHERE registry = $1 AND name = ANY($2)`,
              [registry, names],
            ),
      ]),
    );
    return {
      repositories: new Map(
        [...repositories].map(([name, { error, missedScans, isPublic, tags }]) => [
          name,
          { error, missedScans, isPublic, tags },
        ]),
      ),
      manifests,
    };
  }

  manifests(registry: string, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, KnownManifest>> {
    return this.#database.atOnce('snapshot', (query) =>
      readReached(query, 'SELECT unnest($2::text[]) COLLATE "C"', [registry, digests]),
    );
  }

  async images(registry: string, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, Image>> {
    const rows = await this.#database.query<ImageRow>(
      `SELECT digest, media_type, size, os, architecture, annotations, labels,
         (SELECT json_agg(json_build_array(place, key, png)) FROM image_icon WHERE image_icon.manifest = id) AS icons
       FROM manifest JOIN image ON image.manifest = id WHERE registry = $1 AND digest = ANY($2)`,
      [registry, digests],
    );
    return new Map(
      rows.map(({ digest, media_type: mediaType, size, os, architecture, annotations, labels, icons }) => [
        digest,
        {
          mediaType,
          digest,
          size: Number(size),
          os,
          architecture,
          icons: (icons ?? []).map(([place, key, png]) => ({ place, key: JSON.parse(key) as string, png })),
          annotations: JSON.parse(annotations) as Image['annotations'],
          labels: JSON.parse(labels) as Image['labels'],
        },
      ]),
    );
  }

  async repositoriesWithRefs(
    registry: string,
    refs: readonly string[],
  ): Promise<ReadonlyMap<string, readonly string[]>> {
    const rows = await this.#database.atOnce('snapshot', (query) =>
      readWithRefs(
        query,
        registry,
        refs.map((ref) => JSON.stringify(ref)),
      ),
    );
    return new Map(
      [...Map.groupBy(rows, ({ ref }) => ref)].map(([ref, its]) => [
        JSON.parse(ref) as string,
        its.map(({ name }) => name),
      ]),
    );
  }

  async stored(registry: string): Promise<number> {
    const [row] = await this.#database.query<{ bytes: string }>('SELECT bytes FROM stored WHERE registry = $1', [
      registry,
    ]);
    return Number(row?.bytes ?? 0);
  }

  async scanned(registry: string): Promise<readonly string[]> {
    return (
      await this.#database.query<{ taken: string }>('SELECT taken FROM scanned WHERE registry = $1 ORDER BY taken', [
        registry,
      ])
    ).map(({ taken }) => taken);
  }

  async heldTags(registry: string): Promise<TagsByRepository> {
    const rows = await this.#database.query<{ repository: string; tag: string }>(
      'SELECT repository, tag FROM held_tag WHERE registry = $1 ORDER BY repository, tag',
      [registry],
    );
    return new Map(
      [...Map.groupBy(rows, ({ repository }) => repository)].map(([repository, its]) => [
        repository,
        new Set(its.map(({ tag }) => tag)),
      ]),
    );
  }

  async commit(registry: string, changes: readonly CatalogChange[], takenBy: TakenBy): Promise<void> {
    this.#unpruned = true;
    await this.#database.transaction('write', async (query) => {
      const marks = new CommitMarks();
      await Promise.all([
        putManifests(query, registry, changes, marks),
        changeRepositories(query, registry, changes, marks),
      ]);
      await Promise.all([
        replaceScanned(query, registry, changes),
        replaceHeld(query, registry, changes),
        addReplaced(query, registry, changes),
        marks.stored !== 0 && addStored(query, [[registry, marks.stored]]),
        mark(query, registry, marks, takenBy),
      ]);
    });
  }

  async dirty(index: string): Promise<DirtyRepositories> {
    const rows = await this.#database.query<{ repository: string; mark: string }>(
      'SELECT repository, mark FROM dirty WHERE "index" = $1 ORDER BY repository',
      [index],
    );
    return {
      repositories: rows.map(({ repository }) => repository),
      upTo: rows.reduce((last, row) => Math.max(last, Number(row.mark)), 0),
    };
  }

  async clearDirty(index: string, upTo: number): Promise<void> {
    await this.#database.write('DELETE FROM dirty WHERE "index" = $1 AND mark <= $2', [index, upTo]);
  }

  async icons(registry: string): Promise<ReadonlyMap<Digest, readonly Digest[]>> {
    const rows = await this.#database.query<{ png: Digest; digests: Digest[] }>(
      'SELECT png, array_agg(digest ORDER BY digest) AS digests FROM image_icon JOIN manifest ON manifest.id = image_icon.manifest WHERE registry = $1 GROUP BY png ORDER BY png',
      [registry],
    );
    return new Map(rows.map(({ png, digests }) => [png, digests]));
  }

  async keepRegistries(registries: ReadonlySet<string>): Promise<void> {
    this.#unpruned = true;
    await this.#database.transaction('write', async (query) => {
      const kept = [...registries];
      // The size of the manifests is subtracted when they are pruned.
      const gone = await query<{ registry: string; tags: string }>(
        'SELECT registry, count(*) AS tags FROM tag JOIN repository ON repository.id = tag.repository WHERE registry <> ALL($1) GROUP BY registry',
        [kept],
      );
      await addStored(
        query,
        gone.map(({ registry, tags }) => [registry, -TAG_BYTES * Number(tags)]),
      );
      await Promise.all(
        ['repository', 'scanned', 'held_tag', 'replaced'].map((table) =>
          query(`DELETE FROM ${table} WHERE registry <> ALL($1)`, [kept]),
        ),
      );
    });
  }

  async prune(): Promise<number> {
    if (!this.#unpruned) return 0;
    this.#unpruned = false;
    try {
      return await this.#database.transaction('write', async (query) => {
        const gone = await query<{ registry: string; stored: string }>(
          `WITH RECURSIVE reached (registry, digest) AS (
             SELECT registry, unnest(kept || digest) COLLATE "C" FROM tag JOIN repository ON repository.id = tag.repository
             UNION
             SELECT reached.registry, child.digest
             FROM reached JOIN manifest USING (registry, digest) JOIN index_child AS child ON child.parent = manifest.id
           )
           DELETE FROM manifest WHERE NOT EXISTS (SELECT FROM reached WHERE reached.registry = manifest.registry AND reached.digest = manifest.digest) RETURNING registry, stored`,
        );
        await addStored(
          query,
          [...Map.groupBy(gone, ({ registry }) => registry)].map(([registry, its]) => [
            registry,
            -its.reduce((sum, { stored }) => sum + Number(stored), 0),
          ]),
        );
        return gone.length;
      });
    } catch (error) {
      this.#unpruned = true;
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

type ImageRow = {
  readonly digest: Digest;
  readonly media_type: string;
  readonly size: string;
  readonly os: string;
  readonly architecture: string;
  readonly annotations: string;
  readonly labels: string;
  readonly icons: readonly (readonly [place: ImageIcon['place'], key: string, png: Digest])[] | null;
};
type ManifestRow = {
  readonly digest: Digest;
  readonly kind: KnownManifest['kind'];
  readonly media_type: string;
  readonly size: string;
  readonly os: string;
  readonly architecture: string;
  readonly children: readonly (readonly [digest: Digest, fault: string | null])[] | null;
};

/** SQL: the tags with the names of their repositories. */
const TAGS = 'tag JOIN repository ON repository.id = tag.repository';

/**
 * SQL that ends a subquery which looks one row up by an index. The planner does not know how few digests a recursion
 * finds: left alone, it would go through whole tables for them.
 */
const LOOKED_UP = 'OFFSET 0';

interface StoredRepository extends KnownRepository {
  readonly id: string;
}

async function readRepositories(
  query: RunQuery,
  registry: string,
  names: readonly string[] | undefined,
): Promise<ReadonlyMap<string, StoredRepository>> {
  const chosen = `registry = $1 ${names === undefined ? '' : 'AND name = ANY($2)'}`;
  const values = names === undefined ? [registry] : [registry, names];
  const [rows, tags] = await Promise.all([
    query<{ id: string; name: string; error: string | null; missed_scans: number; is_public: boolean }>(
      `SELECT id, name, error, missed_scans, is_public FROM repository WHERE ${chosen} ORDER BY name`,
      values,
    ),
    query<{ repository: string; tag: string; digest: Digest; kept: Digest[] }>(
      `SELECT repository, tag, digest, kept FROM ${TAGS} WHERE ${chosen} ORDER BY repository, tag`,
      values,
    ),
  ]);
  const byRepository = Map.groupBy(tags, ({ repository }) => repository);
  return new Map(
    rows.map(({ id, name, error, missed_scans: missedScans, is_public: isPublic }) => {
      const its = (byRepository.get(id) ?? []).map(({ tag, digest, kept }): [string, TagRecord] => [
        tag,
        { tag, digest, ...(kept.length > 0 && { kept }) },
      ]);
      return [name, { id, error: error ?? undefined, missedScans, isPublic, tags: new Map(its) }];
    }),
  );
}

/**
 * SQL for `WITH RECURSIVE`: `reached`, the digests that `start` selects and all that they lead to, in registry $1.
 * @param lookedUp {@link LOOKED_UP}; empty where they are most of all that there are
 */
function reachedFrom(start: string, lookedUp: string): string {
  return `reached (digest) AS (
    ${start}
    UNION
    SELECT below.digest FROM reached,
      LATERAL (SELECT id FROM manifest WHERE registry = $1 AND manifest.digest = reached.digest ${lookedUp}) AS its,
      LATERAL (SELECT digest FROM index_child WHERE parent = its.id ${lookedUp}) AS below
  )`;
}

/**
 * Reads the manifests of registry $1 whose digests the SQL `start` selects by `values`, and all that they lead to.
 * @param lookedUp as for {@link reachedFrom}
 */
async function readReached(
  query: RunQuery,
  start: string,
  values: readonly unknown[],
  lookedUp: string = LOOKED_UP,
): Promise<ReadonlyMap<Digest, KnownManifest>> {
  const rows = await query<ManifestRow>(
    `WITH RECURSIVE ${reachedFrom(start, lookedUp)}
     SELECT its.*, CASE kind WHEN 'index' THEN (
       SELECT json_agg(json_build_array(digest, fault) ORDER BY position) FROM index_child WHERE parent = its.id
     ) END AS children
     FROM reached, LATERAL (
       SELECT id, digest, kind, media_type, size, os, architecture FROM manifest
       WHERE registry = $1 AND manifest.digest = reached.digest ${lookedUp}
     ) AS its`,
    values,
  );
  return new Map(
    rows.map(({ digest, kind, media_type: mediaType, size, os, architecture, children }): [Digest, KnownManifest] => {
      const descriptor = { mediaType, digest, size: Number(size) };
      if (kind === 'image') return [digest, { kind, descriptor, os, architecture }];
      if (kind === 'artifact') return [digest, { kind, descriptor }];
      const its = children ?? [];
      const faults = its.flatMap(([, fault]) => (fault === null ? [] : [JSON.parse(fault) as string]));
      return [
        digest,
        {
          kind,
          descriptor,
          manifests: its.flatMap(([child, fault]) => (fault === null ? [child] : [])),
          ...(faults.length > 0 && { faults }),
        },
      ];
    }),
  );
}

/** The repositories whose tags lead to images that claim one of these refs (as JSON). */
function readWithRefs(
  query: RunQuery,
  registry: string,
  refs: readonly string[],
): Promise<readonly { readonly ref: string; readonly name: string }[]> {
  return query(
    `WITH RECURSIVE ${leadingTo(
      `SELECT claimed.ref COLLATE "C", its.digest FROM unnest($2::text[]) AS claimed (ref),
         LATERAL (SELECT manifest FROM image_ref WHERE image_ref.ref = claimed.ref ${LOOKED_UP}) AS claim,
         LATERAL (SELECT digest FROM manifest WHERE id = claim.manifest AND registry = $1 ${LOOKED_UP}) AS its`,
    )}
     SELECT DISTINCT ref, name FROM ${HOLDERS} ORDER BY ref, name`,
    [registry, refs],
  );
}

/** SQL for `WITH RECURSIVE`: `leading_to`, pairs of a ref and a digest that `start` selects, and what leads to these. */
function leadingTo(start: string): string {
  return `leading_to (ref, digest) AS (
    ${start}
    UNION
    SELECT ref, above.digest FROM leading_to,
      LATERAL (SELECT parent FROM index_child WHERE index_child.digest = leading_to.digest ${LOOKED_UP}) AS child,
      LATERAL (SELECT digest FROM manifest WHERE id = child.parent AND registry = $1 ${LOOKED_UP}) AS above
  )`;
}

/** SQL: pairs of a ref and the name of a repository of registry $1 whose tags lead to a digest of `leading_to`. */
const HOLDERS = `(
  SELECT ref, repository FROM leading_to,
    LATERAL (SELECT repository FROM tag WHERE tag.digest = leading_to.digest ${LOOKED_UP}) AS by_digest
  UNION ALL
  SELECT ref, repository FROM tag JOIN leading_to ON leading_to.digest = ANY(kept)
  WHERE kept <> '{}' AND kept && ARRAY(SELECT digest FROM leading_to)
) AS holder,
LATERAL (SELECT name FROM repository WHERE id = holder.repository AND registry = $1 ${LOOKED_UP}) AS named`;

/** The last of several manifests of one digest counts. */
async function putManifests(
  query: RunQuery,
  registry: string,
  changes: readonly CatalogChange[],
  marks: CommitMarks,
): Promise<void> {
  type Put = Extract<CatalogChange, { kind: 'image' | 'manifest' }>;
  const puts = new Map<Digest, Put>();
  for (const change of changes) {
    if (change.kind === 'image') puts.set(change.image.digest, change);
    else if (change.kind === 'manifest') puts.set(change.manifest.digest, change);
  }
  if (puts.size === 0) return;
  const digests = [...puts.keys()];
  for (const digest of digests) marks.manifests.add(digest);
  const columns = [...puts.values()].map((put) => {
    const image = put.kind === 'image' ? put.image : undefined;
    const { digest, mediaType, size } = put.kind === 'image' ? put.image : put.manifest;
    const bytes = put.kind === 'image' ? put.bytes : manifestBytes(put.manifest);
    marks.stored += bytes;
    return {
      digest,
      kind: put.kind === 'image' ? 'image' : put.manifest.kind,
      mediaType,
      size,
      os: image?.os ?? null,
      architecture: image?.architecture ?? null,
      bytes,
    };
  });
  const [before, inserted] = await Promise.all([
    query<{ stored: string }>('DELETE FROM manifest WHERE registry = $1 AND digest = ANY($2) RETURNING stored', [
      registry,
      digests,
    ]),
    query<{ id: string; digest: Digest }>(
      `INSERT INTO manifest (registry, digest, kind, media_type, size, os, architecture, stored)
       SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bigint[]) RETURNING id, digest`,
      [
        registry,
        digests,
        ...(['kind', 'mediaType', 'size', 'os', 'architecture', 'bytes'] as const).map((name) =>
          columns.map((column) => column[name]),
        ),
      ],
    ),
  ]);
  for (const { stored } of before) marks.stored -= Number(stored);
  const ids = new Map(inserted.map(({ id, digest }) => [digest, id]));
  const images = [...puts].flatMap(([digest, put]) => (put.kind === 'image' ? [{ id: ids.get(digest), ...put }] : []));
  const children = [...puts].flatMap(([digest, put]) => {
    if (put.kind === 'image' || put.manifest.kind === 'artifact') return [];
    const { manifests, faults = [] } = put.manifest;
    // A child with a fault has an empty digest, which is never known.
    return [
      ...manifests.map((child) => [child.digest, null] as const),
      ...faults.map((fault) => ['', JSON.stringify(fault)] as const),
    ].map(([child, fault], position) => [ids.get(digest), position, child, fault]);
  });
  await Promise.all([
    insert(
      query,
      'image (manifest, annotations, labels)',
      ['bigint', 'text', 'text'],
      images.map(({ id, image }) => [id, JSON.stringify(image.annotations), JSON.stringify(image.labels)]),
    ),
    insert(
      query,
      'image_ref (ref, manifest)',
      ['text', 'bigint'],
      images.flatMap(({ id, refs }) => [...new Set(refs)].map((ref) => [JSON.stringify(ref), id])),
    ),
    insert(
      query,
      'image_icon (manifest, place, key, png)',
      ['bigint', 'text', 'text', 'text'],
      images.flatMap(({ id, image }) =>
        image.icons.map(({ place, key, png }) => [id, place, JSON.stringify(key), png]),
      ),
    ),
    insert(query, 'index_child (parent, position, digest, fault)', ['bigint', 'integer', 'text', 'text'], children),
  ]);
}

/** A repository that was not read yet. */
const UNREAD = { error: undefined, missedScans: 0, isPublic: false } as const;

/** A repository as changes leave it, beside what is stored of it. */
interface ChangedRepository {
  readonly stored: StoredRepository | undefined;
  /** Whether the stored row goes. */
  replaced: boolean;
  /** `undefined` while it is not known. */
  now:
    | { error: string | undefined; missedScans: number; isPublic: boolean; readonly tags: Map<string, TagRecord> }
    | undefined;
}

async function changeRepositories(
  query: RunQuery,
  registry: string,
  changes: readonly CatalogChange[],
  marks: CommitMarks,
): Promise<void> {
  const names = [...new Set(changes.flatMap((change) => ('repository' in change ? [change.repository] : [])))];
  if (names.length === 0) return;
  const stored = await readRepositories(query, registry, names);
  const repositories = new Map(
    names.map((name): [string, ChangedRepository] => {
      const its = stored.get(name);
      return [
        name,
        {
          stored: its,
          replaced: false,
          now: its && { ...its, tags: new Map(its.tags) },
        },
      ];
    }),
  );
  for (const change of changes)
    if ('repository' in change) apply(change, repositories.get(change.repository) as ChangedRepository, marks);

  const all = [...repositories];
  const gone = all.flatMap(([, { stored: its, replaced }]) => (its !== undefined && replaced ? [its.id] : []));
  const fresh = all.filter(
    ([, { stored: its, replaced, now }]) => now !== undefined && (its === undefined || replaced),
  );
  const ids = new Map(
    all.flatMap(([name, { stored: its, replaced }]) =>
      its === undefined || replaced ? [] : [[name, its.id] as const],
    ),
  );
  // In this order: a repository that was replaced has the name of the one that goes.
  const [, added] = await Promise.all([
    gone.length > 0 && query('DELETE FROM repository WHERE id = ANY($1)', [gone]),
    fresh.length === 0
      ? []
      : query<{ id: string; name: string }>(
          'INSERT INTO repository (registry, name) SELECT $1, * FROM unnest($2::text[]) RETURNING id, name',
          [registry, fresh.map(([name]) => name)],
        ),
  ]);
  for (const { id, name } of added) ids.set(name, id);
  const states = all.filter(([, { stored: its, now, replaced }]) => {
    const before = (replaced ? undefined : its) ?? UNREAD;
    return (
      now !== undefined &&
      (before.error !== now.error || before.missedScans !== now.missedScans || before.isPublic !== now.isPublic)
    );
  });
  const differing = all.flatMap(([name, { stored: its, replaced, now }]) => {
    const before = (replaced ? undefined : its?.tags) ?? new Map<string, TagRecord>();
    const id = ids.get(name);
    return id === undefined
      ? []
      : [...new Set([...before.keys(), ...(now?.tags.keys() ?? [])])].flatMap((tag) =>
          isSame(before.get(tag), now?.tags.get(tag)) ? [] : [{ id, tag, record: now?.tags.get(tag) }],
        );
  });
  const removed = differing.filter(({ record }) => record === undefined);
  const set = differing.flatMap(({ id, tag, record }) =>
    record === undefined ? [] : [[id, tag, record.digest, JSON.stringify(record.kept ?? [])]],
  );
  await Promise.all([
    states.length > 0 &&
      query(
        'UPDATE repository SET error = state.error, missed_scans = state.missed, is_public = state.is_public FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::boolean[]) AS state (id, error, missed, is_public) WHERE repository.id = state.id',
        [
          states.map(([name]) => ids.get(name)),
          states.map(([, { now }]) => now?.error?.replaceAll('\0', '') ?? null),
          states.map(([, { now }]) => now?.missedScans ?? 0),
          states.map(([, { now }]) => now?.isPublic ?? false),
        ],
      ),
    removed.length > 0 &&
      query(
        'DELETE FROM tag USING unnest($1::bigint[], $2::text[]) AS gone (repository, tag) WHERE tag.repository = gone.repository AND tag.tag = gone.tag',
        [removed.map(({ id }) => id), removed.map(({ tag }) => tag)],
      ),
    set.length > 0 &&
      query(
        `INSERT INTO tag (repository, tag, digest, kept)
         SELECT repository, tag, digest, ARRAY(SELECT json_array_elements_text(kept::json)) FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS now (repository, tag, digest, kept)
         ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest, kept = excluded.kept`,
        columnsOf(set, 4),
      ),
  ]);
}

function apply(
  change: Extract<CatalogChange, { readonly repository: string }>,
  repository: ChangedRepository,
  marks: CommitMarks,
): void {
  const name = change.repository;
  const opened = (): NonNullable<ChangedRepository['now']> => (repository.now ??= { ...UNREAD, tags: new Map() });
  const setTag = (record: TagRecord): void => {
    const { tags } = opened();
    const before = tags.get(record.tag);
    if (isSame(before, record)) return;
    tags.set(record.tag, record);
    marks.change(name, before, record);
  };
  const removeTag = (tag: string): void => {
    const before = repository.now?.tags.get(tag);
    if (before === undefined) return;
    repository.now?.tags.delete(tag);
    marks.change(name, before, undefined);
  };
  switch (change.kind) {
    case 'tags': {
      const now = opened();
      now.error = undefined;
      now.missedScans = 0;
      const left = new Set(change.tags.map(({ tag }) => tag));
      for (const record of change.tags) setTag(record);
      for (const tag of now.tags.keys()) if (!left.has(tag)) removeTag(tag);
      return;
    }
    case 'access':
      opened().isPublic = change.isPublic;
      return;
    case 'tag':
      setTag(change.tag);
      return;
    case 'tag-gone':
      removeTag(change.tag);
      return;
    case 'failure':
      opened().error = change.error;
      return;
    case 'missed':
      if (repository.now !== undefined) repository.now.missedScans++;
      return;
    case 'gone': {
      if (repository.now === undefined) return;
      marks.change(name, undefined, undefined);
      for (const tag of repository.now.tags.keys()) removeTag(tag);
      repository.now = undefined;
      repository.replaced = true;
    }
  }
}

function isSame(one: TagRecord | undefined, other: TagRecord | undefined): boolean {
  return one?.digest === other?.digest && String(one?.kept ?? []) === String(other?.kept ?? []);
}

async function replaceScanned(query: RunQuery, registry: string, changes: readonly CatalogChange[]): Promise<void> {
  const last = changes.findLast((change) => change.kind === 'scanned');
  if (last === undefined) return;
  const taken = [...new Set(last.taken)];
  await Promise.all([
    query('DELETE FROM scanned WHERE registry = $1 AND taken <> ALL($2)', [registry, taken]),
    query('INSERT INTO scanned (registry, taken) SELECT $1, * FROM unnest($2::text[]) ON CONFLICT DO NOTHING', [
      registry,
      taken,
    ]),
  ]);
}

async function replaceHeld(query: RunQuery, registry: string, changes: readonly CatalogChange[]): Promise<void> {
  const last = changes.findLast((change) => change.kind === 'held');
  if (last === undefined) return;
  const held = [...last.tags].flatMap(([repository, tags]) => [...tags].map((tag) => [registry, repository, tag]));
  await Promise.all([
    query('DELETE FROM held_tag WHERE registry = $1', [registry]),
    insert(query, 'held_tag (registry, repository, tag)', ['text', 'text', 'text'], held),
  ]);
}

async function addStored(
  query: RunQuery,
  amounts: readonly (readonly [registry: string, bytes: number])[],
): Promise<void> {
  if (amounts.length === 0) return;
  await query(
    'INSERT INTO stored (registry, bytes) SELECT * FROM unnest($1::text[], $2::bigint[]) ON CONFLICT (registry) DO UPDATE SET bytes = stored.bytes + excluded.bytes',
    columnsOf(amounts, 2),
  );
}

/** Marks what was changed as dirty for the indexes that take it. */
async function mark(
  query: RunQuery,
  registry: string,
  { repositories, digests, manifests }: CommitMarks,
  takenBy: TakenBy,
): Promise<void> {
  const [holders, refs] = await Promise.all([
    manifests.size === 0
      ? []
      : query<{ name: string }>(
          `WITH RECURSIVE ${leadingTo(`SELECT ''::text COLLATE "C", unnest($2::text[]) COLLATE "C"`)}
           SELECT DISTINCT name FROM ${HOLDERS}`,
          [registry, [...manifests]],
        ),
    digests.size + manifests.size === 0
      ? []
      : query<{ ref: string }>(
          `WITH RECURSIVE ${reachedFrom('SELECT unnest($2::text[]) COLLATE "C"', LOOKED_UP)}
           SELECT DISTINCT ref FROM reached,
             LATERAL (SELECT id FROM manifest WHERE registry = $1 AND manifest.digest = reached.digest ${LOOKED_UP}) AS its,
             LATERAL (SELECT ref FROM image_ref WHERE manifest = its.id ${LOOKED_UP}) AS claim`,
          [registry, [...new Set([...digests, ...manifests])]],
        ),
  ]);
  const rivals =
    refs.length === 0
      ? []
      : await readWithRefs(
          query,
          registry,
          refs.map(({ ref }) => ref),
        );
  const changed = new Set([...repositories, ...[...holders, ...rivals].map(({ name }) => name)]);
  const dirty = [...changed].flatMap((repository) => takenBy(repository).map((index) => [index, repository] as const));
  if (dirty.length === 0) return;
  await query(
    markDirty('SELECT * FROM unnest($1::text[], $2::text[]) AS now ("index", repository)'),
    columnsOf(dirty, 2),
  );
}

/**
 * Inserts rows in one statement.
 * @param target the table with its columns, which have these types
 */
async function insert(
  query: RunQuery,
  target: string,
  types: readonly string[],
  rows: readonly (readonly unknown[])[],
): Promise<void> {
  if (rows.length === 0) return;
  await query(
    `INSERT INTO ${target} SELECT * FROM unnest(${types.map((type, place) => `$${place + 1}::${type}[]`).join(', ')})`,
    columnsOf(rows, types.length),
  );
}

function columnsOf(rows: readonly (readonly unknown[])[], count: number): readonly (readonly unknown[])[] {
  return Array.from({ length: count }, (_, place) => rows.map((row) => row[place]));
}
