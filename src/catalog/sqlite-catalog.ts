/** The catalog in one SQLite file. */
import type { DatabaseSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import type { Digest } from '../registry/digest.ts';
import type { Manifest } from '../registry/manifest.ts';
import type { Catalog, Image, KnownManifest, RepositoryState, TagRecord } from './catalog.ts';
import { CatalogError } from './catalog-error.ts';
import { openCatalogFile, setCatalogFileAside } from './catalog-file.ts';

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
  /** Transactions under way, one in the other. */
  #depth = 0;

  private constructor(file: string, database: DatabaseSync) {
    this.#file = file;
    this.#database = database;
    this.#statements = prepareStatements(database);
    this.id = this.#guard(() => String(database.prepare('SELECT id FROM catalog').get()?.['id']));
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
      return known.map(({ tag, digest }) => ({ tag, digest }));
    });
  }

  manifest(digest: Digest): KnownManifest | undefined {
    return this.#guard(() => {
      const known = this.#statements.manifest.get(digest) as ManifestRow | undefined;
      if (known === undefined) return undefined;
      const { id, kind, media_type: mediaType, size, os, architecture } = known;
      const descriptor = { mediaType, digest, size };
      if (kind === 'image') return { kind, descriptor, os, architecture };
      if (kind === 'artifact') return { kind, descriptor };
      const children = this.#statements.children.all(id) as ChildRow[];
      return { kind, descriptor, manifests: children.map((child) => child.digest) };
    });
  }

  isWhole(digest: Digest): boolean {
    return this.#guard(() => this.#statements.missing.get(digest) === undefined);
  }

  image(digest: Digest): Image | undefined {
    return this.#guard(() => {
      const known = this.#statements.image.get(digest) as ImageRow | undefined;
      if (known === undefined) return undefined;
      const { media_type: mediaType, size, os, architecture, annotations, labels } = known;
      const described = { mediaType, digest, size, os, architecture };
      if (checksumOf(described, annotations, labels) !== known.checksum) {
        throw new CatalogError('corrupt', `${this.#file} is damaged (what it holds of ${digest} has changed): it has to be set aside and made anew`);
      }
      return { ...described, annotations: parse(annotations), labels: parse(labels) };
    });
  }

  scanned(registry: string): readonly string[] {
    return this.#guard(() => this.#statements.scanned.all(registry).map((row) => String(row['taken'])));
  }

  putImage(image: Image): void {
    this.transaction(() => {
      const id = this.#replaceManifest('image', image, image.os, image.architecture);
      const [annotations, labels] = [JSON.stringify(image.annotations), JSON.stringify(image.labels)];
      this.#statements.insertImage.run(id, annotations, labels, checksumOf(image, annotations, labels));
    });
  }

  putManifest(manifest: Exclude<Manifest, { kind: 'image' }>): void {
    this.transaction(() => {
      const id = this.#replaceManifest(manifest.kind, manifest, null, null);
      if (manifest.kind === 'artifact') return;
      for (const [position, { digest }] of manifest.manifests.entries()) this.#statements.insertChild.run(id, position, digest);
    });
  }

  transaction<T>(write: () => T): T {
    return this.#guard(() => {
      const database = this.#database;
      const nested = this.#depth > 0;
      // SQLite itself rolls a transaction back when the disk is full; what follows must not be written outside of it.
      if (nested && !database.isTransaction) throw new Error('the transaction was already rolled back by an earlier error');
      database.exec(nested ? 'SAVEPOINT nested' : 'BEGIN IMMEDIATE');
      this.#depth++;
      try {
        const result = write();
        database.exec(nested ? 'RELEASE nested' : 'COMMIT');
        return result;
      } catch (error) {
        if (database.isTransaction) database.exec(nested ? 'ROLLBACK TO nested; RELEASE nested' : 'ROLLBACK');
        throw error;
      } finally {
        this.#depth--;
      }
    });
  }

  replaceTags(registry: string, repository: string, tags: readonly TagRecord[]): void {
    this.transaction(() => {
      const { clearFaults, setTag, deleteTag } = this.#statements;
      const gone = new Map(this.tags(registry, repository).map(({ tag, digest }) => [tag, digest]));
      const id = this.#repositoryId(registry, repository);
      clearFaults.run(id);
      // Only what differs is written, so that a rescan with nothing new leaves the disk alone.
      for (const { tag, digest } of tags) {
        if (gone.get(tag) !== digest) setTag.run(id, tag, digest);
        gone.delete(tag);
      }
      for (const tag of gone.keys()) deleteTag.run(registry, repository, tag);
    });
  }

  setTag(registry: string, repository: string, tag: string, digest: Digest | undefined): void {
    this.transaction(() => {
      if (digest === undefined) this.#statements.deleteTag.run(registry, repository, tag);
      else this.#statements.setTag.run(this.#repositoryId(registry, repository), tag, digest);
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

  recordScanned(registry: string, taken: readonly string[]): void {
    this.transaction(() => {
      const { deleteScanned, insertScanned } = this.#statements;
      const parts = [...new Set(taken)].toSorted();
      if (JSON.stringify(parts) === JSON.stringify(this.scanned(registry))) return;
      deleteScanned.run(registry);
      for (const part of parts) insertScanned.run(registry, part);
    });
  }

  prune(): number {
    return this.transaction(() => Number(this.#statements.prune.run().changes));
  }

  close(): void {
    this.#guard(() => {
      this.#database.close();
    });
  }

  /** Remembers what all manifests have in common in place of whatever the digest was known as; returns its id. */
  #replaceManifest(kind: KnownManifest['kind'], { digest, mediaType, size }: Manifest | Image, os: string | null, architecture: string | null): number | bigint {
    this.#statements.deleteManifest.run(digest);
    return this.#statements.insertManifest.run(digest, kind, mediaType, size, os, architecture).lastInsertRowid;
  }

  /** The id of a repository, which becomes known if it was not. */
  #repositoryId(registry: string, repository: string): number | bigint {
    const { repositoryId, insertRepository } = this.#statements;
    const known = repositoryId.get(registry, repository) as { id: number } | undefined;
    return known?.id ?? insertRepository.run(registry, repository).lastInsertRowid;
  }

  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw CatalogError.fromSqlite(error, this.#file);
    }
  }
}

/** Rows as SQLite gives them, typed by the schema's word. */
type RepositoryRow = { readonly name: string; readonly error: string | null; readonly missed_scans: number };
type TagRow = { readonly tag: string; readonly digest: Digest };
type ChildRow = { readonly digest: Digest };
type DescriptorRow = { readonly media_type: string; readonly size: number };
type PlatformRow = { readonly os: string; readonly architecture: string };
/** `os` and `architecture` are NULL unless it is an image, and not read then. */
type ManifestRow = DescriptorRow & PlatformRow & { readonly id: number; readonly kind: KnownManifest['kind'] };
type ImageRow = DescriptorRow & PlatformRow & { readonly annotations: string; readonly labels: string; readonly checksum: number };

type Statements = ReturnType<typeof prepareStatements>;

function prepareStatements(database: DatabaseSync) {
  return {
    repositories: database.prepare('SELECT name, error, missed_scans FROM repository WHERE registry = ? ORDER BY name'),
    tags: database.prepare(
      `SELECT tag, digest FROM tag
       WHERE repository = (SELECT id FROM repository WHERE registry = ? AND name = ?)
       ORDER BY tag`,
    ),
    manifest: database.prepare('SELECT id, kind, media_type, size, os, architecture FROM manifest WHERE digest = ?'),
    children: database.prepare('SELECT digest FROM index_child WHERE parent = ? ORDER BY position'),
    missing: database.prepare(
      `WITH RECURSIVE reached(digest) AS (
         VALUES (?)
         UNION
         SELECT index_child.digest FROM reached JOIN manifest USING (digest) JOIN index_child ON index_child.parent = manifest.id
       )
       SELECT 1 FROM reached WHERE NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.digest = reached.digest) LIMIT 1`,
    ),
    image: database.prepare(
      `SELECT media_type, size, os, architecture, annotations, labels, checksum
       FROM manifest JOIN image ON image.manifest = manifest.id
       WHERE digest = ?`,
    ),

    deleteManifest: database.prepare('DELETE FROM manifest WHERE digest = ?'),
    insertManifest: database.prepare('INSERT INTO manifest (digest, kind, media_type, size, os, architecture) VALUES (?, ?, ?, ?, ?, ?)'),
    insertImage: database.prepare('INSERT INTO image (manifest, annotations, labels, checksum) VALUES (?, ?, ?, ?)'),
    insertChild: database.prepare('INSERT INTO index_child (parent, position, digest) VALUES (?, ?, ?)'),

    repositoryId: database.prepare('SELECT id FROM repository WHERE registry = ? AND name = ?'),
    insertRepository: database.prepare('INSERT INTO repository (registry, name) VALUES (?, ?)'),
    removeRepository: database.prepare('DELETE FROM repository WHERE registry = ? AND name = ?'),
    clearFaults: database.prepare('UPDATE repository SET error = NULL, missed_scans = 0 WHERE id = ? AND (error IS NOT NULL OR missed_scans > 0)'),
    recordFailure: database.prepare('UPDATE repository SET error = ? WHERE id = ?'),
    recordMissed: database.prepare('UPDATE repository SET missed_scans = missed_scans + 1 WHERE registry = ? AND name = ? RETURNING missed_scans'),

    setTag: database.prepare('INSERT INTO tag (repository, tag, digest) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET digest = excluded.digest'),
    deleteTag: database.prepare('DELETE FROM tag WHERE repository = (SELECT id FROM repository WHERE registry = ? AND name = ?) AND tag = ?'),

    scanned: database.prepare('SELECT taken FROM scanned WHERE registry = ? ORDER BY taken'),
    deleteScanned: database.prepare('DELETE FROM scanned WHERE registry = ?'),
    insertScanned: database.prepare('INSERT INTO scanned (registry, taken) VALUES (?, ?)'),

    prune: database.prepare(
      `WITH RECURSIVE reached (digest) AS (
         SELECT digest FROM tag
         UNION
         SELECT child.digest
         FROM reached JOIN manifest USING (digest) JOIN index_child AS child ON child.parent = manifest.id
       )
       DELETE FROM manifest WHERE digest NOT IN (SELECT digest FROM reached)`,
    ),
  };
}

function checksumOf({ digest, mediaType, size, os, architecture }: Omit<Image, 'annotations' | 'labels'>, annotations: string, labels: string): number {
  return crc32(labels, crc32(annotations, crc32(JSON.stringify([digest, mediaType, size, os, architecture]))));
}

function parse(text: string): Readonly<Record<string, string>> {
  return JSON.parse(text) as Record<string, string>;
}
