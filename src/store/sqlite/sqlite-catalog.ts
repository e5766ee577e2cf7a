/** The catalog in one SQLite file. */
import type { DatabaseSync, StatementResultingChanges } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import type { Digest } from '../../registry/digest.ts';
import type { Manifest } from '../../registry/manifest.ts';
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
import type { Settings } from '../store.ts';
import { StoreError } from '../store-error.ts';
import { CATALOG_SCHEMA } from './catalog-schema.ts';
import { SqliteFile, openDatabase } from './database.ts';
import { SqliteDeltas } from './sqlite-deltas.ts';

/** A {@link Catalog} with one user at a time; between processes, the {@link StateLock} of its folder ensures that. */
export class SqliteCatalog extends SqliteFile implements Catalog {
  /** The settings, which are in the same file. */
  readonly settings: Settings = {
    get: async (key) => this.guard(() => this.#statements.setting.get(key)?.['value'] as string | undefined),
    set: async (key, value) => {
      this.guard(() => this.#statements.setSetting.run(key, value));
    },
  };
  /** The records of deltas, which are in the same file. */
  readonly deltas: SqliteDeltas;
  readonly #statements: Statements;
  /** {@link #changes} at the last prune. */
  #prunedChanges: number;

  private constructor(file: string, database: DatabaseSync) {
    super(file, database);
    this.#statements = prepareStatements(database);
    this.deltas = new SqliteDeltas(file, database);
    this.#prunedChanges = this.#changes();
  }

  /**
   * Opens the catalog in `file`, or creates it; see {@link openDatabase}.
   * @throws StoreError if it can be neither opened nor created
   */
  static open(file: string, onWarning: (warning: string) => void): SqliteCatalog {
    const database = openDatabase(file, CATALOG_SCHEMA, onWarning);
    // Only this object uses the file: SQLite need not lock it for each look-up, nor share memory for its log.
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    return new SqliteCatalog(file, database);
  }

  override async close(): Promise<void> {
    await this.deltas.close();
    await super.close();
  }

  get id(): string {
    return this.guard(() => {
      const id = this.#statements.id.get()?.['id'];
      if (id === undefined) throw StoreError.of('corrupt', this.file, 'its id is missing');
      return String(id);
    });
  }

  async known(registry: string, names?: readonly string[]): Promise<KnownRegistry> {
    return this.guard(() => {
      const { allRepositories, someRepositories } = this.#statements;
      const rows = (
        names === undefined ? allRepositories.all(registry) : someRepositories.all(registry, JSON.stringify(names))
      ) as RepositoryRow[];
      const repositories = new Map<string, KnownRepository>();
      const digests = new Set<Digest>();
      for (const { id, name, error, missed_scans: missedScans, is_public: isPublic } of rows) {
        const tags = this.#tagsOf(id);
        for (const { digest, kept = [] } of tags.values()) for (const one of [digest, ...kept]) digests.add(one);
        repositories.set(name, { error: error ?? undefined, missedScans, isPublic: isPublic === 1, tags });
      }
      return { repositories, manifests: this.#reached(registry, digests) };
    });
  }

  async manifests(registry: string, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, KnownManifest>> {
    return this.guard(() => this.#reached(registry, digests));
  }

  async images(registry: string, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, Image>> {
    return this.guard(() => {
      const found = new Map<Digest, Image>();
      for (const digest of digests) {
        const image = this.#image(registry, digest);
        if (image !== undefined) found.set(digest, image);
      }
      return found;
    });
  }

  async repositoriesWithRefs(
    registry: string,
    refs: readonly string[],
  ): Promise<ReadonlyMap<string, readonly string[]>> {
    return this.guard(() => {
      const rows = this.#statements.withRefs.all(JSON.stringify(refs), registry) as { ref: string; name: string }[];
      return new Map([...Map.groupBy(rows, ({ ref }) => ref)].map(([ref, its]) => [ref, its.map(({ name }) => name)]));
    });
  }

  async stored(registry: string): Promise<number> {
    return this.guard(() => Number(this.#statements.stored.get(registry)?.['bytes'] ?? 0));
  }

  async scanned(registry: string): Promise<readonly string[]> {
    return this.guard(() => this.#scanned(registry));
  }

  async heldTags(registry: string): Promise<TagsByRepository> {
    return this.guard(() => {
      const held = new Map<string, Set<string>>();
      for (const { repository, tag } of this.#statements.heldTags.all(registry) as {
        repository: string;
        tag: string;
      }[]) {
        const tags = held.get(repository);
        if (tags === undefined) held.set(repository, new Set([tag]));
        else tags.add(tag);
      }
      return held;
    });
  }

  async commit(registry: string, changes: readonly CatalogChange[], takenBy: TakenBy): Promise<void> {
    this.transaction(() => {
      const marks = new CommitMarks();
      for (const change of changes) this.#apply(registry, change, marks);
      if (marks.stored !== 0) this.#statements.addStored.run(registry, marks.stored);
      this.#mark(registry, marks, takenBy);
    });
  }

  async dirty(index: string): Promise<DirtyRepositories> {
    return this.guard(() => {
      const rows = this.#statements.dirty.all(index) as { repository: string; mark: number }[];
      return {
        repositories: rows.map(({ repository }) => repository),
        upTo: rows.reduce((last, { mark }) => Math.max(last, mark), 0),
      };
    });
  }

  async clearDirty(index: string, upTo: number): Promise<void> {
    this.transaction(() => {
      this.#statements.clearDirty.run(index, upTo);
    });
  }

  async icons(registry: string): Promise<ReadonlyMap<Digest, readonly Digest[]>> {
    return this.guard(() => {
      const icons = new Map<Digest, Digest[]>();
      for (const { png, digest } of this.#statements.allIcons.all(registry) as { png: Digest; digest: Digest }[]) {
        const images = icons.get(png);
        if (images === undefined) icons.set(png, [digest]);
        else images.push(digest);
      }
      return icons;
    });
  }

  async keepRegistries(registries: ReadonlySet<string>): Promise<void> {
    this.transaction(() => {
      const { registries: all, tagCount, addStored, removeRegistry, deleteScanned, deleteHeldTags } = this.#statements;
      for (const { registry } of all.all() as { readonly registry: string }[]) {
        if (registries.has(registry)) continue;
        // The size of its manifests is subtracted when they are pruned.
        addStored.run(registry, -TAG_BYTES * Number(tagCount.get(registry)?.['tags']));
        for (const statement of [removeRegistry, deleteScanned, deleteHeldTags]) statement.run(registry);
        this.deltas.removeRegistry(registry);
      }
    });
  }

  async prune(): Promise<number> {
    // What a crash kept from being pruned is pruned after the next change.
    if (this.#changes() === this.#prunedChanges) return 0;
    const pruned = this.transaction(() => {
      const gone = this.#statements.prune.all() as { registry: string; stored: number }[];
      for (const [registry, its] of Map.groupBy(gone, (row) => row.registry))
        this.#statements.addStored.run(registry, -its.reduce((sum, { stored }) => sum + stored, 0));
      return gone.length;
    });
    this.#prunedChanges = this.#changes();
    return pruned;
  }

  #tagsOf(repository: number | bigint): Map<string, TagRecord> {
    const tags = new Map(
      (this.#statements.tagsOf.all(repository) as TagRow[]).map(({ tag, digest }): [string, TagRecord] => [
        tag,
        { tag, digest },
      ]),
    );
    for (const [tag, its] of Map.groupBy(this.#statements.keptOf.all(repository) as TagRow[], (row) => row.tag)) {
      const record = tags.get(tag);
      if (record !== undefined) tags.set(tag, { ...record, kept: its.map(({ digest }) => digest) });
    }
    return tags;
  }

  /** Returns the manifests of `digests` and all that they lead to. */
  #reached(registry: string, digests: Iterable<Digest>): Map<Digest, KnownManifest> {
    const manifests = new Map<Digest, KnownManifest>();
    const { manifest, children } = this.#statements;
    const waiting = [...digests];
    for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
      if (manifests.has(digest)) continue;
      const row = manifest.get(registry, digest) as ManifestRow | undefined;
      if (row === undefined) continue;
      const { id, kind, media_type: mediaType, size, os, architecture } = row;
      const descriptor = { mediaType, digest, size };
      if (kind === 'index') {
        const rows = children.all(id) as ChildRow[];
        const its = rows.flatMap((child) => (child.fault === null ? [child.digest] : []));
        const faults = rows.flatMap(({ fault }) => fault ?? []);
        manifests.set(digest, { kind, descriptor, manifests: its, ...(faults.length > 0 && { faults }) });
        waiting.push(...its);
      } else manifests.set(digest, kind === 'image' ? { kind, descriptor, os, architecture } : { kind, descriptor });
    }
    return manifests;
  }

  #image(registry: string, digest: Digest): Image | undefined {
    const known = this.#statements.image.get(registry, digest) as ImageRow | undefined;
    if (known === undefined) return undefined;
    const { id, media_type: mediaType, size, os, architecture, annotations, labels } = known;
    const icons = (this.#statements.icons.all(id) as IconRow[]).map(({ place, key, png }) => ({ place, key, png }));
    const described = { mediaType, digest, size, os, architecture, icons };
    if (checksumOf(described, annotations, labels) !== known.checksum)
      throw StoreError.of('corrupt', this.file, `the checksum of ${digest} does not match`);
    return { ...described, annotations: parse(annotations), labels: parse(labels) };
  }

  #scanned(registry: string): string[] {
    return this.#statements.scanned.all(registry).map((row) => String(row['taken']));
  }

  #apply(registry: string, change: CatalogChange, marks: CommitMarks): void {
    const { clearFaults, recordAccess, recordFailure, recordMissed, removeRepository } = this.#statements;
    switch (change.kind) {
      case 'image':
        marks.stored += this.#putImage(registry, change);
        marks.manifests.add(change.image.digest);
        return;
      case 'manifest':
        marks.stored += this.#putManifest(registry, change.manifest);
        marks.manifests.add(change.manifest.digest);
        return;
      case 'tags': {
        const id = this.#repositoryId(registry, change.repository);
        clearFaults.run(id);
        const gone = this.#tagsOf(id);
        for (const record of change.tags) {
          const before = gone.get(record.tag);
          gone.delete(record.tag);
          this.#setTag(id, change.repository, before, record, marks);
        }
        for (const record of gone.values()) this.#removeTag(id, change.repository, record, marks);
        return;
      }
      case 'access':
        recordAccess.run(Number(change.isPublic), this.#repositoryId(registry, change.repository));
        return;
      case 'tag': {
        const id = this.#repositoryId(registry, change.repository);
        this.#setTag(id, change.repository, this.#tagsOf(id).get(change.tag.tag), change.tag, marks);
        return;
      }
      case 'tag-gone': {
        const id = this.#knownRepositoryId(registry, change.repository);
        const record = id === undefined ? undefined : this.#tagsOf(id).get(change.tag);
        if (id !== undefined && record !== undefined) this.#removeTag(id, change.repository, record, marks);
        return;
      }
      case 'replaced':
        this.deltas.addReplaced(registry, change.images);
        return;
      case 'failure':
        recordFailure.run(change.error, this.#repositoryId(registry, change.repository));
        return;
      case 'missed':
        recordMissed.run(registry, change.repository);
        return;
      case 'gone': {
        const id = this.#knownRepositoryId(registry, change.repository);
        if (id === undefined) return;
        marks.change(change.repository, undefined, undefined);
        for (const record of this.#tagsOf(id).values()) marks.change(change.repository, record, undefined);
        removeRepository.run(id);
        return;
      }
      case 'scanned':
        this.#recordScanned(registry, change.taken);
        return;
      case 'held':
        this.#statements.deleteHeldTags.run(registry);
        for (const [repository, tags] of change.tags)
          for (const tag of tags) this.#statements.insertHeldTag.run(registry, repository, tag);
    }
  }

  /** Writes a tag only if it differs, so that a rescan with nothing new writes nothing. */
  #setTag(
    id: number | bigint,
    repository: string,
    before: TagRecord | undefined,
    now: TagRecord,
    marks: CommitMarks,
  ): void {
    if (before?.digest === now.digest && String(before.kept ?? []) === String(now.kept ?? [])) return;
    const { setTag, clearKept, insertKept } = this.#statements;
    setTag.run(id, now.tag, now.digest);
    clearKept.run(id, now.tag);
    for (const [position, digest] of (now.kept ?? []).entries()) insertKept.run(id, now.tag, position, digest);
    marks.change(repository, before, now);
  }

  #removeTag(id: number | bigint, repository: string, record: TagRecord, marks: CommitMarks): void {
    this.#statements.deleteTag.run(id, record.tag);
    marks.change(repository, record, undefined);
  }

  /** CommitMarks the repositories that a commit affects as dirty for the indexes that take them. */
  #mark(registry: string, { repositories, digests, manifests }: CommitMarks, takenBy: TakenBy): void {
    const { refsOf, withRefs, holders, nextMark, setDirty } = this.#statements;
    const changed = new Set(repositories);
    if (manifests.size > 0)
      for (const { name } of holders.all(JSON.stringify([...manifests]), registry, registry) as { name: string }[])
        changed.add(name);
    const refs = (
      digests.size + manifests.size === 0
        ? []
        : (refsOf.all(JSON.stringify([...digests, ...manifests]), registry, registry) as { ref: string }[])
    ).map(({ ref }) => ref);
    if (refs.length > 0)
      for (const { name } of withRefs.all(JSON.stringify(refs), registry) as { name: string }[]) changed.add(name);
    const dirty = [...changed].flatMap((repository) =>
      takenBy(repository).map((index) => [index, repository] as const),
    );
    if (dirty.length === 0) return;
    const { last_mark: mark } = nextMark.get() as { last_mark: number };
    for (const [index, repository] of dirty) setDirty.run(index, repository, mark);
  }

  /** Returns by how many bytes the stored size grows. */
  #putImage(registry: string, { image, refs, bytes }: Extract<CatalogChange, { kind: 'image' }>): number {
    const { insertImage, insertIcon, insertRef } = this.#statements;
    const { id, before } = this.#replaceManifest(registry, 'image', image, bytes, image.os, image.architecture);
    const [annotations, labels] = [JSON.stringify(image.annotations), JSON.stringify(image.labels)];
    insertImage.run(id, annotations, labels, checksumOf(image, annotations, labels));
    for (const { place, key, png } of image.icons) insertIcon.run(id, place, key, png);
    for (const ref of new Set(refs)) insertRef.run(ref, id);
    return bytes - before;
  }

  #putManifest(registry: string, manifest: Exclude<Manifest, { kind: 'image' }>): number {
    const bytes = manifestBytes(manifest);
    const { id, before } = this.#replaceManifest(registry, manifest.kind, manifest, bytes, null, null);
    if (manifest.kind === 'artifact') return bytes - before;
    const children = [
      ...manifest.manifests.map(({ digest }) => [digest, null] as const),
      ...(manifest.faults ?? []).map((fault) => ['', fault] as const),
    ];
    for (const [position, [digest, fault]] of children.entries())
      this.#statements.insertChild.run(id, position, digest, fault);
    return bytes - before;
  }

  #recordScanned(registry: string, taken: readonly string[]): void {
    const { deleteScanned, insertScanned } = this.#statements;
    const parts = [...new Set(taken)].toSorted();
    if (JSON.stringify(parts) === JSON.stringify(this.#scanned(registry))) return;
    deleteScanned.run(registry);
    for (const part of parts) insertScanned.run(registry, part);
  }

  /** Returns how many rows were written since the file was opened. */
  #changes(): number {
    return this.guard(() => Number(this.#statements.changes.get()?.['changes']));
  }

  /**
   * Inserts the row of a manifest, in place of an earlier one of that digest; returns its id and the size of the
   * earlier one.
   */
  #replaceManifest(
    registry: string,
    kind: KnownManifest['kind'],
    { digest, mediaType, size }: Manifest | Image,
    bytes: number,
    os: string | null,
    architecture: string | null,
  ): { id: number | bigint; before: number } {
    const insert = (): StatementResultingChanges =>
      this.#statements.insertManifest.run(registry, digest, kind, mediaType, size, os, architecture, bytes);
    const inserted = insert();
    if (Number(inserted.changes) > 0) return { id: inserted.lastInsertRowid, before: 0 };
    const before = Number(this.#statements.deleteManifest.get(registry, digest)?.['stored'] ?? 0);
    return { id: insert().lastInsertRowid, before };
  }

  /** Returns the id of a repository; inserts it if it is not known. */
  #repositoryId(registry: string, repository: string): number | bigint {
    return (
      this.#knownRepositoryId(registry, repository) ??
      this.#statements.insertRepository.run(registry, repository).lastInsertRowid
    );
  }

  #knownRepositoryId(registry: string, repository: string): number | undefined {
    return (this.#statements.repositoryId.get(registry, repository) as { id: number } | undefined)?.id;
  }
}

/** Rows, typed as the schema declares them. */
type RepositoryRow = {
  readonly id: number;
  readonly name: string;
  readonly error: string | null;
  readonly missed_scans: number;
  readonly is_public: 0 | 1;
};
type TagRow = { readonly tag: string; readonly digest: Digest };
type ChildRow = { readonly digest: Digest; readonly fault: string | null };
type DescriptorRow = { readonly media_type: string; readonly size: number };
type PlatformRow = { readonly os: string; readonly architecture: string };
/** `os` and `architecture` are NULL, and not read, unless it is an image. */
type ManifestRow = DescriptorRow & PlatformRow & { readonly id: number; readonly kind: KnownManifest['kind'] };
type IconRow = { readonly place: ImageIcon['place']; readonly key: string; readonly png: Digest };
type ImageRow = DescriptorRow &
  PlatformRow & {
    readonly id: number;
    readonly annotations: string;
    readonly labels: string;
    readonly checksum: number;
  };

type Statements = ReturnType<typeof prepareStatements>;

/**
 * The repositories whose tags lead to a digest. `CROSS JOIN`, and `+` before a column, keep SQLite from scanning whole
 * tables: its planner does not know how few digests and refs are asked for.
 */
const HOLDERS = `CROSS JOIN repository ON repository.id IN (
  SELECT repository FROM tag WHERE tag.digest = leading.digest UNION ALL SELECT repository FROM kept WHERE kept.digest = leading.digest
)`;

/** The digests in the JSON array `?`, and all image indexes of the registry `?` that lead to them. */
const LEADING_TO = `
  WITH RECURSIVE leading (digest) AS (
    SELECT value FROM json_each(?)
    UNION
    SELECT manifest.digest
    FROM leading CROSS JOIN index_child USING (digest) CROSS JOIN manifest ON manifest.id = index_child.parent
    WHERE manifest.registry = ?
  )`;

function prepareStatements(database: DatabaseSync) {
  return {
    id: database.prepare('SELECT id FROM catalog'),
    allRepositories: database.prepare(
      'SELECT id, name, error, missed_scans, is_public FROM repository WHERE registry = ? ORDER BY name',
    ),
    someRepositories: database.prepare(
      'SELECT id, name, error, missed_scans, is_public FROM repository WHERE registry = ? AND name IN (SELECT value FROM json_each(?)) ORDER BY name',
    ),
    tagsOf: database.prepare('SELECT tag, digest FROM tag WHERE repository = ? ORDER BY tag'),
    keptOf: database.prepare('SELECT tag, digest FROM kept WHERE repository = ? ORDER BY tag, position'),
    manifest: database.prepare(
      'SELECT id, kind, media_type, size, os, architecture FROM manifest WHERE registry = ? AND digest = ?',
    ),
    children: database.prepare('SELECT digest, fault FROM index_child WHERE parent = ? ORDER BY position'),
    image: database.prepare(
      `SELECT id, media_type, size, os, architecture, annotations, labels, checksum
       FROM manifest JOIN image ON image.manifest = manifest.id
       WHERE registry = ? AND digest = ?`,
    ),
    icons: database.prepare('SELECT place, key, png FROM image_icon WHERE manifest = ?'),
    allIcons: database.prepare(
      'SELECT png, digest FROM image_icon JOIN manifest ON manifest.id = image_icon.manifest WHERE registry = ? ORDER BY png, digest',
    ),

    holders: database.prepare(
      `${LEADING_TO} SELECT DISTINCT name FROM leading ${HOLDERS} WHERE +repository.registry = ?`,
    ),
    withRefs: database.prepare(
      `WITH RECURSIVE leading (ref, registry, digest) AS (
         SELECT image_ref.ref, manifest.registry, manifest.digest
         FROM json_each(?) AS wanted CROSS JOIN image_ref ON image_ref.ref = wanted.value CROSS JOIN manifest ON manifest.id = image_ref.manifest
         WHERE manifest.registry = ?
         UNION
         SELECT ref, leading.registry, manifest.digest
         FROM leading CROSS JOIN index_child USING (digest) CROSS JOIN manifest ON manifest.id = index_child.parent AND manifest.registry = leading.registry
       )
       SELECT DISTINCT ref, name FROM leading ${HOLDERS} WHERE +repository.registry = leading.registry
       ORDER BY ref, name`,
    ),
    refsOf: database.prepare(
      `WITH RECURSIVE reached (digest) AS (
         SELECT value FROM json_each(?)
         UNION
         SELECT child.digest
         FROM reached CROSS JOIN manifest ON manifest.registry = ? AND manifest.digest = reached.digest CROSS JOIN index_child AS child ON child.parent = manifest.id
       )
       SELECT DISTINCT ref
       FROM reached CROSS JOIN manifest ON manifest.registry = ? AND manifest.digest = reached.digest CROSS JOIN image_ref ON image_ref.manifest = manifest.id`,
    ),

    deleteManifest: database.prepare('DELETE FROM manifest WHERE registry = ? AND digest = ? RETURNING stored'),
    insertManifest: database.prepare(
      'INSERT INTO manifest (registry, digest, kind, media_type, size, os, architecture, stored) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
    ),
    insertImage: database.prepare('INSERT INTO image (manifest, annotations, labels, checksum) VALUES (?, ?, ?, ?)'),
    insertIcon: database.prepare('INSERT INTO image_icon (manifest, place, key, png) VALUES (?, ?, ?, ?)'),
    insertRef: database.prepare('INSERT INTO image_ref (ref, manifest) VALUES (?, ?)'),
    insertChild: database.prepare('INSERT INTO index_child (parent, position, digest, fault) VALUES (?, ?, ?, ?)'),

    repositoryId: database.prepare('SELECT id FROM repository WHERE registry = ? AND name = ?'),
    insertRepository: database.prepare('INSERT INTO repository (registry, name) VALUES (?, ?)'),
    registries: database.prepare(
      'SELECT DISTINCT registry FROM repository UNION SELECT registry FROM scanned UNION SELECT registry FROM held_tag',
    ),
    removeRegistry: database.prepare('DELETE FROM repository WHERE registry = ?'),
    removeRepository: database.prepare('DELETE FROM repository WHERE id = ?'),
    clearFaults: database.prepare(
      'UPDATE repository SET error = NULL, missed_scans = 0 WHERE id = ? AND (error IS NOT NULL OR missed_scans > 0)',
    ),
    recordAccess: database.prepare('UPDATE repository SET is_public = ? WHERE id = ?'),
    recordFailure: database.prepare('UPDATE repository SET error = ? WHERE id = ?'),
    recordMissed: database.prepare(
      'UPDATE repository SET missed_scans = missed_scans + 1 WHERE registry = ? AND name = ?',
    ),

    setTag: database.prepare(
      'INSERT INTO tag (repository, tag, digest) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET digest = excluded.digest',
    ),
    deleteTag: database.prepare('DELETE FROM tag WHERE repository = ? AND tag = ?'),
    tagCount: database.prepare(
      'SELECT count(*) AS tags FROM tag JOIN repository ON repository.id = tag.repository WHERE registry = ?',
    ),
    clearKept: database.prepare('DELETE FROM kept WHERE repository = ? AND tag = ?'),
    insertKept: database.prepare('INSERT INTO kept (repository, tag, position, digest) VALUES (?, ?, ?, ?)'),

    stored: database.prepare('SELECT bytes FROM stored WHERE registry = ?'),
    addStored: database.prepare(
      'INSERT INTO stored (registry, bytes) VALUES (?, ?) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes',
    ),

    scanned: database.prepare('SELECT taken FROM scanned WHERE registry = ? ORDER BY taken'),
    deleteScanned: database.prepare('DELETE FROM scanned WHERE registry = ?'),
    insertScanned: database.prepare('INSERT INTO scanned (registry, taken) VALUES (?, ?)'),

    heldTags: database.prepare('SELECT repository, tag FROM held_tag WHERE registry = ? ORDER BY repository, tag'),
    deleteHeldTags: database.prepare('DELETE FROM held_tag WHERE registry = ?'),
    insertHeldTag: database.prepare('INSERT INTO held_tag (registry, repository, tag) VALUES (?, ?, ?)'),

    nextMark: database.prepare('UPDATE catalog SET last_mark = last_mark + 1 RETURNING last_mark'),
    setDirty: database.prepare(
      'INSERT INTO dirty ("index", repository, mark) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET mark = excluded.mark',
    ),
    dirty: database.prepare('SELECT repository, mark FROM dirty WHERE "index" = ? ORDER BY repository'),
    clearDirty: database.prepare('DELETE FROM dirty WHERE "index" = ? AND mark <= ?'),

    prune: database.prepare(
      `WITH RECURSIVE reached (registry, digest) AS (
         SELECT registry, digest FROM tagged JOIN repository ON repository.id = tagged.repository
         UNION
         SELECT registry, child.digest
         FROM reached JOIN manifest USING (registry, digest) JOIN index_child AS child ON child.parent = manifest.id
       )
       DELETE FROM manifest WHERE (registry, digest) NOT IN (SELECT registry, digest FROM reached) RETURNING registry, stored`,
    ),
    setting: database.prepare('SELECT value FROM setting WHERE key = ?'),
    setSetting: database.prepare(
      'INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
    ),

    changes: database.prepare('SELECT total_changes() AS changes'),
  };
}

function checksumOf(
  { digest, mediaType, size, os, architecture, icons }: Omit<Image, 'annotations' | 'labels'>,
  annotations: string,
  labels: string,
): number {
  const pngs = icons.map(({ place, key, png }) => `${place} ${key} ${png}`).toSorted();
  return crc32(labels, crc32(annotations, crc32(JSON.stringify([digest, mediaType, size, os, architecture, ...pngs]))));
}

function parse(text: string): Readonly<Record<string, string>> {
  return JSON.parse(text) as Record<string, string>;
}
