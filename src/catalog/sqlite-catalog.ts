/** The catalog in one SQLite file. */
import type { DatabaseSync, StatementResultingChanges } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import { LRUCache } from 'lru-cache';
import { matchesDigest, type Digest } from '../registry/digest.ts';
import type { Manifest } from '../registry/manifest.ts';
import { imageBytes, manifestBytes, TAG_BYTES, type Catalog, type Image, type ImageIcon, type KnownManifest, type RepositoryState, type TagRecord, type TagsByRepository } from './catalog.ts';
import { CatalogError } from './catalog-error.ts';
import { openCatalogFile, setCatalogFileAside } from './catalog-file.ts';

/** Of texts of images that were just written, in characters: what a scan has read is rendered next. */
const MAX_RECENT = 12_000_000;
/** What an image takes beside its texts, in as many characters. */
const IMAGE_OVERHEAD = 1000;

export interface SqliteCatalogOptions {
  /** Told when a file that cannot be used was set aside. */
  readonly onWarning: (warning: string) => void;
}

/** A {@link Catalog} that only this object may write; the {@link StateLock} of its folder sees to that between processes. */
export class SqliteCatalog implements Catalog {
  readonly id: string;
  readonly #file: string;
  readonly #database: DatabaseSync;
  readonly #statements: Statements;
  #closed = false;
  /** Transactions under way, one in the other. */
  #depth = 0;
  /** Images that were written and not read since; those that were written first make room. */
  readonly #recent = new LRUCache<string, Image>({ maxSize: MAX_RECENT });
  /** What {@link #changes} said when it was last pruned. */
  #prunedChanges: number;

  private constructor(file: string, database: DatabaseSync) {
    this.#file = file;
    this.#database = database;
    this.#statements = prepareStatements(database);
    this.id = this.#guard(() => String(database.prepare('SELECT id FROM catalog').get()?.['id']));
    this.#prunedChanges = this.#changes();
  }

  /**
   * Opens the catalog in `file`, or makes it; the folder must exist. A file that is damaged, of another program or of
   * another schema version is set aside with a warning, and an empty catalog takes its place.
   * @throws CatalogError if it can neither be opened nor made.
   */
  static open(file: string, { onWarning }: SqliteCatalogOptions): SqliteCatalog {
    return new SqliteCatalog(file, openCatalogFile(file, onWarning));
  }

  /**
   * Gives the file of a catalog that is closed and turned out to be damaged another name; returns its new path.
   * @throws CatalogError if it cannot be renamed.
   */
  static setAside(file: string): string {
    return setCatalogFileAside(file);
  }

  repositories(registry: string): readonly RepositoryState[] {
    return this.#guard(() => {
      const known = this.#statements.repositories.all(registry) as RepositoryRow[];
      return known.map(({ name, error, missed_scans }) => ({ name, error: error ?? undefined, missedScans: missed_scans }));
    });
  }

  tags(registry: string, repository: string): readonly TagRecord[] {
    return this.#guard(() => {
      const known = this.#statements.tags.all(registry, repository) as TagRow[];
      const kept = new Map<string, Digest[]>();
      for (const { tag, digest } of this.#statements.kept.all(registry, repository) as TagRow[]) kept.set(tag, [...(kept.get(tag) ?? []), digest]);
      return known.map(({ tag, digest }) => {
        const its = kept.get(tag);
        return { tag, digest, ...(its && { kept: its }) };
      });
    });
  }

  manifest(registry: string, digest: Digest): KnownManifest | undefined {
    return this.#guard(() => {
      const known = this.#statements.manifest.get(registry, digest) as ManifestRow | undefined;
      if (known === undefined) return undefined;
      const { id, kind, media_type: mediaType, size, os, architecture } = known;
      const descriptor = { mediaType, digest, size };
      if (kind === 'image') return { kind, descriptor, os, architecture };
      if (kind === 'artifact') return { kind, descriptor };
      const children = this.#statements.children.all(registry, id) as ChildRow[];
      const faults = children.flatMap(({ fault }) => fault ?? []);
      const manifests = children
        .filter(({ fault }) => fault === null)
        .map((child) => ({ digest: child.digest, kind: child.kind ?? undefined, architecture: child.architecture ?? undefined }));
      return { kind, descriptor, manifests, ...(faults.length > 0 && { faults }) };
    });
  }

  isWhole(registry: string, digest: Digest): boolean {
    return this.#guard(() => {
      const known = this.#statements.unsettled.get(registry, digest) as { readonly children: number } | undefined;
      if (known === undefined) return false;
      return known.children === 0 || this.#statements.missing.get(registry, digest) === undefined;
    });
  }

  image(registry: string, digest: Digest): Image | undefined {
    return this.#guard(() => {
      const recent = this.#recent.get(placeOf(registry, digest));
      if (recent !== undefined) {
        this.#recent.delete(placeOf(registry, digest));
        return recent;
      }
      const known = this.#statements.image.get(registry, digest) as ImageRow | undefined;
      if (known === undefined) return undefined;
      const { id, media_type: mediaType, size, os, architecture, annotations, labels } = known;
      const icons = (this.#statements.icons.all(id) as IconRow[]).map(({ place, key, png }) => ({ place, key, png }));
      const described = { mediaType, digest, size, os, architecture, icons };
      if (checksumOf(described, annotations, labels) !== known.checksum) throw this.#changed(digest);
      return { ...described, annotations: parse(annotations), labels: parse(labels) };
    });
  }

  png(digest: Digest): Buffer {
    return this.#guard(() => {
      const bytes = this.#statements.png.get(digest)?.['bytes'] as Uint8Array | undefined;
      if (bytes === undefined || !matchesDigest(bytes, digest)) throw this.#changed(digest);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    });
  }

  stored(registry: string): number {
    return this.#guard(() => {
      const { manifests, tags } = this.#statements.stored.get(registry, registry) as { readonly manifests: number; readonly tags: number };
      return manifests + tags * TAG_BYTES;
    });
  }

  scanned(registry: string): readonly string[] {
    return this.#guard(() => this.#statements.scanned.all(registry).map((row) => String(row['taken'])));
  }

  heldTags(registry: string): TagsByRepository {
    return this.#guard(() => {
      const held = new Map<string, Set<string>>();
      for (const { repository, tag } of this.#statements.heldTags.all(registry) as HeldTagRow[]) {
        const tags = held.get(repository);
        if (tags === undefined) held.set(repository, new Set([tag]));
        else tags.add(tag);
      }
      return held;
    });
  }

  putImage(registry: string, image: Image, pngs: ReadonlyMap<Digest, Buffer>): void {
    this.transaction(() => {
      const { insertImage, insertIcon, insertPng } = this.#statements;
      const id = this.#replaceManifest(registry, 'image', image, imageBytes(image, pngs), image.os, image.architecture);
      const [annotations, labels] = [JSON.stringify(image.annotations), JSON.stringify(image.labels)];
      insertImage.run(id, annotations, labels, checksumOf(image, annotations, labels));
      for (const { place, key, png } of image.icons) insertIcon.run(id, place, key, png);
      for (const [digest, bytes] of pngs) insertPng.run(digest, bytes);
      this.#recent.set(placeOf(registry, image.digest), image, { size: IMAGE_OVERHEAD + annotations.length + labels.length });
    });
  }

  putManifest(registry: string, manifest: Exclude<Manifest, { kind: 'image' }>): void {
    this.transaction(() => {
      const id = this.#replaceManifest(registry, manifest.kind, manifest, manifestBytes(manifest), null, null);
      if (manifest.kind === 'artifact') return;
      const children = [...manifest.manifests.map(({ digest }) => [digest, null] as const), ...(manifest.faults ?? []).map((fault) => ['', fault] as const)];
      for (const [position, [digest, fault]] of children.entries()) this.#statements.insertChild.run(id, position, digest, fault);
    });
  }

  transaction<T>(write: () => T): T {
    return this.#guard(() => {
      const database = this.#database;
      const outermost = this.#depth === 0;
      if (outermost) this.#statements.begin.run();
      this.#depth++;
      try {
        // SQLite itself rolls a transaction back when the disk is full; what follows must not be written outside of it.
        if (!database.isTransaction) throw rolledBack();
        const result = write();
        if (!database.isTransaction) throw rolledBack();
        if (outermost) this.#statements.commit.run();
        return result;
      } catch (error) {
        this.#recent.clear();
        if (database.isTransaction) database.exec('ROLLBACK');
        throw error;
      } finally {
        this.#depth--;
      }
    });
  }

  replaceTags(registry: string, repository: string, tags: readonly TagRecord[]): void {
    this.transaction(() => {
      const gone = new Map(this.tags(registry, repository).map((record) => [record.tag, record]));
      const id = this.#repositoryId(registry, repository);
      this.#statements.clearFaults.run(id);
      // Only what differs is written, so that a rescan with nothing new leaves the disk alone.
      for (const record of tags) {
        const before = gone.get(record.tag);
        if (before === undefined || !isSameRecord(before, record)) this.#putTag(id, record);
        gone.delete(record.tag);
      }
      for (const tag of gone.keys()) this.#statements.deleteTag.run(registry, repository, tag);
    });
  }

  setTag(registry: string, repository: string, record: TagRecord): void {
    this.transaction(() => {
      this.#putTag(this.#repositoryId(registry, repository), record);
    });
  }

  removeTag(registry: string, repository: string, tag: string): void {
    this.transaction(() => {
      this.#statements.deleteTag.run(registry, repository, tag);
    });
  }

  recordFailure(registry: string, repository: string, error: string): void {
    this.transaction(() => {
      this.#statements.recordFailure.run(error, this.#repositoryId(registry, repository));
    });
  }

  recordMissed(registry: string, repository: string): number {
    return this.transaction(() => Number(this.#statements.recordMissed.get(registry, repository)?.['missed_scans'] ?? 0));
  }

  removeRepository(registry: string, repository: string): void {
    this.transaction(() => {
      this.#statements.removeRepository.run(registry, repository);
    });
  }

  keepRegistries(registries: ReadonlySet<string>): void {
    this.transaction(() => {
      const known = this.#statements.registries.all() as { readonly registry: string }[];
      for (const { registry } of known.filter((row) => !registries.has(row.registry))) {
        this.#statements.removeRegistry.run(registry);
        this.#statements.deleteScanned.run(registry);
        this.#statements.deleteHeldTags.run(registry);
      }
    });
  }

  recordScanned(registry: string, taken: readonly string[]): void {
    this.transaction(() => {
      const { deleteScanned, insertScanned } = this.#statements;
      const parts = [...new Set(taken)].toSorted();
      if (JSON.stringify(parts) === JSON.stringify(this.scanned(registry))) return;
      deleteScanned.run(registry);
      for (const part of parts) insertScanned.run(registry, part);
    });
  }

  recordHeldTags(registry: string, tags: TagsByRepository): void {
    this.transaction(() => {
      const { deleteHeldTags, insertHeldTag } = this.#statements;
      deleteHeldTags.run(registry);
      for (const [repository, its] of tags) for (const tag of its) insertHeldTag.run(registry, repository, tag);
    });
  }

  prune(): number {
    // What a crash has kept from being pruned goes with the next change.
    if (this.#changes() === this.#prunedChanges) return 0;
    const pruned = this.transaction(() => {
      const gone = this.#statements.prune.all() as (DigestRow & { readonly registry: string })[];
      for (const { registry, digest } of gone) this.#recent.delete(placeOf(registry, digest));
      if (gone.length > 0) this.#statements.prunePngs.run();
      return gone.length;
    });
    this.#prunedChanges = this.#changes();
    return pruned;
  }

  close(): void {
    this.#closed = true;
    this.#guard(() => {
      this.#database.close();
    });
  }

  /** How many rows were written since this object opened the file. */
  #changes(): number {
    return this.#guard(() => Number(this.#statements.changes.get()?.['changes']));
  }

  #putTag(repository: number | bigint, { tag, digest, kept = [] }: TagRecord): void {
    const { setTag, clearKept, insertKept } = this.#statements;
    setTag.run(repository, tag, digest);
    clearKept.run(repository, tag);
    for (const [position, image] of kept.entries()) insertKept.run(repository, tag, position, image);
  }

  /** Remembers what all manifests have in common in place of whatever the digest was known as; returns its id. */
  #replaceManifest(registry: string, kind: KnownManifest['kind'], { digest, mediaType, size }: Manifest | Image, stored: number, os: string | null, architecture: string | null): number | bigint {
    const insert = (): StatementResultingChanges => this.#statements.insertManifest.run(registry, digest, kind, mediaType, size, os, architecture, stored);
    const inserted = insert();
    if (Number(inserted.changes) > 0) return inserted.lastInsertRowid;
    this.#recent.delete(placeOf(registry, digest));
    this.#statements.deleteManifest.run(registry, digest);
    return insert().lastInsertRowid;
  }

  /** The id of a repository, which becomes known if it was not. */
  #repositoryId(registry: string, repository: string): number | bigint {
    const { repositoryId, insertRepository } = this.#statements;
    const known = repositoryId.get(registry, repository) as { id: number } | undefined;
    return known?.id ?? insertRepository.run(registry, repository).lastInsertRowid;
  }

  #changed(digest: Digest): CatalogError {
    return CatalogError.of('corrupt', this.#file, `what it holds of ${digest} has changed`);
  }

  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (this.#closed) throw CatalogError.of('closed', this.#file, undefined, { cause: error });
      throw CatalogError.fromSqlite(error, this.#file);
    }
  }
}

/** Rows as SQLite gives them, typed by the schema's word. */
type RepositoryRow = { readonly name: string; readonly error: string | null; readonly missed_scans: number };
type TagRow = { readonly tag: string; readonly digest: Digest };
type HeldTagRow = { readonly repository: string; readonly tag: string };
type DigestRow = { readonly digest: Digest };
type ChildRow = DigestRow & { readonly fault: string | null; readonly kind: KnownManifest['kind'] | null; readonly architecture: string | null };
type DescriptorRow = { readonly media_type: string; readonly size: number };
type PlatformRow = { readonly os: string; readonly architecture: string };
/** `os` and `architecture` are NULL unless it is an image, and not read then. */
type ManifestRow = DescriptorRow & PlatformRow & { readonly id: number; readonly kind: KnownManifest['kind'] };
type IconRow = { readonly place: ImageIcon['place']; readonly key: string; readonly png: Digest };
type ImageRow = DescriptorRow & PlatformRow & { readonly id: number; readonly annotations: string; readonly labels: string; readonly checksum: number };

type Statements = ReturnType<typeof prepareStatements>;

function prepareStatements(database: DatabaseSync) {
  return {
    begin: database.prepare('BEGIN IMMEDIATE'),
    commit: database.prepare('COMMIT'),

    repositories: database.prepare('SELECT name, error, missed_scans FROM repository WHERE registry = ? ORDER BY name'),
    tags: database.prepare(
      `SELECT tag, digest FROM tag
       WHERE repository = (SELECT id FROM repository WHERE registry = ? AND name = ?)
       ORDER BY tag`,
    ),
    kept: database.prepare(
      `SELECT tag, digest FROM kept
       WHERE repository = (SELECT id FROM repository WHERE registry = ? AND name = ?)
       ORDER BY tag, position`,
    ),
    manifest: database.prepare('SELECT id, kind, media_type, size, os, architecture FROM manifest WHERE registry = ? AND digest = ?'),
    children: database.prepare(
      `SELECT child.digest, fault, kind, architecture
       FROM index_child AS child LEFT JOIN manifest ON manifest.registry = ? AND manifest.digest = child.digest
       WHERE parent = ? ORDER BY position`,
    ),
    // Children that are not known, or may have children that are not. There are seldom any, and asking for `missing` takes five times as long.
    unsettled: database.prepare(
      `SELECT (
         SELECT count(*) FROM index_child LEFT JOIN manifest AS child ON child.registry = manifest.registry AND child.digest = index_child.digest
         WHERE parent = manifest.id AND (child.id IS NULL OR child.kind = 'index')
       ) AS children
       FROM manifest WHERE registry = ? AND digest = ?`,
    ),
    missing: database.prepare(
      `WITH RECURSIVE reached(registry, digest) AS (
         VALUES (?, ?)
         UNION
         SELECT registry, index_child.digest FROM reached JOIN manifest USING (registry, digest) JOIN index_child ON index_child.parent = manifest.id
       )
       SELECT 1 FROM reached WHERE NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.registry = reached.registry AND manifest.digest = reached.digest) LIMIT 1`,
    ),
    image: database.prepare(
      `SELECT id, media_type, size, os, architecture, annotations, labels, checksum
       FROM manifest JOIN image ON image.manifest = manifest.id
       WHERE registry = ? AND digest = ?`,
    ),
    icons: database.prepare('SELECT place, key, png FROM image_icon WHERE manifest = ?'),
    png: database.prepare('SELECT bytes FROM png WHERE digest = ?'),

    stored: database.prepare(
      `SELECT
         (SELECT coalesce(sum(stored), 0) FROM manifest WHERE registry = ?) AS manifests,
         (SELECT count(*) FROM tag JOIN repository ON repository.id = tag.repository WHERE registry = ?) AS tags`,
    ),

    deleteManifest: database.prepare('DELETE FROM manifest WHERE registry = ? AND digest = ?'),
    insertManifest: database.prepare('INSERT INTO manifest (registry, digest, kind, media_type, size, os, architecture, stored) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING'),
    insertImage: database.prepare('INSERT INTO image (manifest, annotations, labels, checksum) VALUES (?, ?, ?, ?)'),
    insertIcon: database.prepare('INSERT INTO image_icon (manifest, place, key, png) VALUES (?, ?, ?, ?)'),
    insertPng: database.prepare('INSERT INTO png (digest, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING'),
    insertChild: database.prepare('INSERT INTO index_child (parent, position, digest, fault) VALUES (?, ?, ?, ?)'),

    repositoryId: database.prepare('SELECT id FROM repository WHERE registry = ? AND name = ?'),
    insertRepository: database.prepare('INSERT INTO repository (registry, name) VALUES (?, ?)'),
    registries: database.prepare('SELECT DISTINCT registry FROM repository UNION SELECT registry FROM scanned UNION SELECT registry FROM held_tag'),
    removeRegistry: database.prepare('DELETE FROM repository WHERE registry = ?'),
    removeRepository: database.prepare('DELETE FROM repository WHERE registry = ? AND name = ?'),
    clearFaults: database.prepare('UPDATE repository SET error = NULL, missed_scans = 0 WHERE id = ? AND (error IS NOT NULL OR missed_scans > 0)'),
    recordFailure: database.prepare('UPDATE repository SET error = ? WHERE id = ?'),
    recordMissed: database.prepare('UPDATE repository SET missed_scans = missed_scans + 1 WHERE registry = ? AND name = ? RETURNING missed_scans'),

    setTag: database.prepare('INSERT INTO tag (repository, tag, digest) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET digest = excluded.digest'),
    deleteTag: database.prepare('DELETE FROM tag WHERE repository = (SELECT id FROM repository WHERE registry = ? AND name = ?) AND tag = ?'),

    clearKept: database.prepare('DELETE FROM kept WHERE repository = ? AND tag = ?'),
    insertKept: database.prepare('INSERT INTO kept (repository, tag, position, digest) VALUES (?, ?, ?, ?)'),

    scanned: database.prepare('SELECT taken FROM scanned WHERE registry = ? ORDER BY taken'),
    deleteScanned: database.prepare('DELETE FROM scanned WHERE registry = ?'),
    insertScanned: database.prepare('INSERT INTO scanned (registry, taken) VALUES (?, ?)'),

    heldTags: database.prepare('SELECT repository, tag FROM held_tag WHERE registry = ? ORDER BY repository, tag'),
    deleteHeldTags: database.prepare('DELETE FROM held_tag WHERE registry = ?'),
    insertHeldTag: database.prepare('INSERT INTO held_tag (registry, repository, tag) VALUES (?, ?, ?)'),

    prune: database.prepare(
      `WITH RECURSIVE reached (registry, digest) AS (
         SELECT registry, digest FROM (SELECT repository, digest FROM tag UNION SELECT repository, digest FROM kept) JOIN repository ON repository.id = repository
         UNION
         SELECT registry, child.digest
         FROM reached JOIN manifest USING (registry, digest) JOIN index_child AS child ON child.parent = manifest.id
       )
       DELETE FROM manifest WHERE (registry, digest) NOT IN (SELECT registry, digest FROM reached) RETURNING registry, digest`,
    ),
    changes: database.prepare('SELECT total_changes() AS changes'),
    prunePngs: database.prepare('DELETE FROM png WHERE digest IN (SELECT digest FROM png EXCEPT SELECT png FROM image_icon)'),
  };
}

/** Names an image of a registry among those in memory. */
function placeOf(registry: string, digest: Digest): string {
  return `${registry} ${digest}`;
}

function isSameRecord(one: TagRecord, other: TagRecord): boolean {
  return one.digest === other.digest && String(one.kept ?? []) === String(other.kept ?? []);
}

function rolledBack(): Error {
  return new Error('the transaction was already rolled back by an earlier error');
}

function checksumOf({ digest, mediaType, size, os, architecture, icons }: Omit<Image, 'annotations' | 'labels'>, annotations: string, labels: string): number {
  const pngs = icons.map(({ place, key, png }) => `${place} ${key} ${png}`).toSorted();
  return crc32(labels, crc32(annotations, crc32(JSON.stringify([digest, mediaType, size, os, architecture, ...pngs]))));
}

function parse(text: string): Readonly<Record<string, string>> {
  return JSON.parse(text) as Record<string, string>;
}
