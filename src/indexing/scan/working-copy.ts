/** Knowledge of a registry during a scan: loaded once, changed in memory, committed in batches. */
import type { Digest } from '../../registry/digest.ts';
import type { Manifest } from '../../registry/manifest.ts';
import { imageBytes } from '../../store/catalog.ts';
import type {
  Catalog,
  CatalogChange,
  Image,
  KnownManifest,
  KnownRegistry,
  KnownRepository,
  TagRecord,
  TagsByRepository,
  TakenBy,
} from '../../store/catalog.ts';
import type { ReplacedImage } from '../../store/deltas.ts';
import type { Publications } from '../../store/publications.ts';
import { refsOf } from '../select/image-facts.ts';

/** Size of pending images from which they are committed, in bytes. */
const MAX_PENDING = 500_000;
/** Number of pending changes from which they are committed. */
const MAX_CHANGES = 10_000;

/** Options of {@link WorkingCopy.load}. */
export interface WorkingCopyOptions {
  readonly catalog: Catalog;
  readonly publications: Publications;
  readonly registry: string;
  /** Repositories to load; all if absent. */
  readonly repositories?: readonly string[] | undefined;
  readonly takenBy: TakenBy;
  /** Whether images are remembered that are replaced, for deltas. */
  readonly remembersReplaced?: boolean | undefined;
  /** Digests to read again, as if they were not known. */
  readonly suspect?: ReadonlySet<Digest> | undefined;
}

interface OpenRepository {
  readonly error: string | undefined;
  readonly missedScans: number;
  readonly isPublic: boolean;
  readonly tags: Map<string, TagRecord>;
}

/** Working copy of what the catalog knows of one registry. */
export class WorkingCopy {
  readonly #options: WorkingCopyOptions;
  readonly #repositories: Map<string, OpenRepository>;
  readonly #manifests: Map<Digest, KnownManifest>;
  readonly #held: TagsByRepository;
  /** Estimated size of what is kept of the registry, in bytes. */
  readonly stored: number;
  #changes: CatalogChange[] = [];
  #pngs = new Map<Digest, Uint8Array>();
  #pending = 0;
  #committing: Promise<void> = Promise.resolve();

  private constructor(
    options: WorkingCopyOptions,
    { repositories, manifests }: KnownRegistry,
    held: TagsByRepository,
    stored: number,
  ) {
    this.#options = options;
    this.#repositories = new Map(
      [...repositories].map(([name, repository]) => [name, { ...repository, tags: new Map(repository.tags) }]),
    );
    this.#manifests = new Map([...manifests].filter(([digest]) => options.suspect?.has(digest) !== true));
    this.#held = held;
    this.stored = stored;
  }

  /**
   * Loads what the catalog knows.
   * @throws StoreError
   */
  static async load(options: WorkingCopyOptions): Promise<WorkingCopy> {
    const { catalog, registry, repositories } = options;
    const [known, held, stored] = await Promise.all([
      catalog.known(registry, repositories),
      catalog.heldTags(registry),
      catalog.stored(registry),
    ]);
    return new WorkingCopy(options, known, held, stored);
  }

  /**
   * Commits, and returns what is known of all repositories, including those that were not loaded.
   * @throws StoreError
   */
  async everything(): Promise<KnownRegistry> {
    const { catalog, registry, repositories } = this.#options;
    // Callers look up the texts of images in the catalog.
    await this.commit();
    return repositories === undefined
      ? { repositories: this.#repositories, manifests: this.#manifests }
      : catalog.known(registry);
  }

  /** Loaded repositories, with the changes since. */
  get repositories(): ReadonlyMap<string, KnownRepository> {
    return this.#repositories;
  }

  /** Tags that were held when it was loaded. */
  get heldTags(): TagsByRepository {
    return this.#held;
  }

  /** Returns the tags of a repository; empty if it is not known. */
  tags(repository: string): ReadonlyMap<string, TagRecord> {
    return this.#repositories.get(repository)?.tags ?? new Map<string, TagRecord>();
  }

  /**
   * Returns the manifest of a digest, if it is known.
   * @throws StoreError
   */
  async manifest(digest: Digest): Promise<KnownManifest | undefined> {
    const known = this.#manifests.get(digest);
    // A partial copy has only what the tags of its repositories lead to; the catalog may know more.
    if (known !== undefined || this.#options.repositories === undefined) return known;
    const { catalog, registry } = this.#options;
    for (const [one, manifest] of await catalog.manifests(registry, [digest]))
      if (!this.#manifests.has(one)) this.#manifests.set(one, manifest);
    return this.#manifests.get(digest);
  }

  /** Says whether a digest and all that it leads to is known and valid. */
  isWhole(digest: Digest): boolean {
    const manifest = this.#manifests.get(digest);
    if (manifest?.kind !== 'index') return manifest !== undefined;
    return manifest.faults === undefined && manifest.manifests.every((child) => this.isWhole(child));
  }

  /** Returns the known images that a digest leads to, also through nested indexes. */
  imagesIn(digest: Digest, found: Set<Digest> = new Set()): ReadonlySet<Digest> {
    const manifest = this.#manifests.get(digest);
    if (manifest?.kind === 'image') found.add(digest);
    if (manifest?.kind === 'index') for (const child of manifest.manifests) this.imagesIn(child, found);
    return found;
  }

  /**
   * Commits, and returns images with their texts.
   * @throws StoreError
   */
  async images(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, Image>> {
    await this.commit();
    return this.#options.catalog.images(this.#options.registry, digests);
  }

  /**
   * Adds an image with the PNGs of its icons; commits if many are pending.
   * @throws StoreError
   */
  async putImage(image: Image, pngs: ReadonlyMap<Digest, Buffer>): Promise<void> {
    const { mediaType, digest, size, os, architecture } = image;
    this.#manifests.set(digest, { kind: 'image', descriptor: { mediaType, digest, size }, os, architecture });
    const bytes = imageBytes(image, pngs);
    this.#changes.push({ kind: 'image', image, refs: refsOf(image), bytes });
    this.#pending += bytes;
    for (const [png, its] of pngs) this.#pngs.set(png, its);
    if (this.#pending > MAX_PENDING) await this.commit();
  }

  /** Adds an image index or an artifact. */
  putManifest(manifest: Exclude<Manifest, { kind: 'image' }>): void {
    const { mediaType, digest, size } = manifest;
    const descriptor = { mediaType, digest, size };
    if (manifest.kind === 'artifact') this.#manifests.set(digest, { kind: 'artifact', descriptor });
    else {
      const { faults = [] } = manifest;
      this.#manifests.set(digest, {
        kind: 'index',
        descriptor,
        manifests: manifest.manifests.map((child) => child.digest),
        ...(faults.length > 0 && { faults }),
      });
    }
    this.#changes.push({ kind: 'manifest', manifest });
    if (this.#changes.length > MAX_CHANGES) void this.commit();
  }

  /** Replaces the tags of a repository, all of which were read. */
  replaceTags(repository: string, tags: readonly TagRecord[]): void {
    const before = this.tags(repository);
    for (const record of tags) this.#remember(repository, before.get(record.tag), record);
    this.#repositories.set(repository, {
      ...this.#open(repository),
      error: undefined,
      missedScans: 0,
      tags: new Map(tags.map((record) => [record.tag, record])),
    });
    this.#changes.push({ kind: 'tags', repository, tags });
  }

  /** Records whether the tags of a repository, which were read, needed no login. */
  recordAccess(repository: string, isPublic: boolean): void {
    const known = this.#open(repository);
    if (known.isPublic === isPublic) return;
    this.#repositories.set(repository, { ...known, isPublic });
    this.#changes.push({ kind: 'access', repository, isPublic });
  }

  /** Adds or moves one tag. */
  setTag(repository: string, tag: TagRecord): void {
    this.#remember(repository, this.tags(repository).get(tag.tag), tag);
    this.#open(repository).tags.set(tag.tag, tag);
    this.#changes.push({ kind: 'tag', repository, tag });
  }

  /** Removes one tag. */
  removeTag(repository: string, tag: string): void {
    if (this.#repositories.get(repository)?.tags.delete(tag) === true)
      this.#changes.push({ kind: 'tag-gone', repository, tag });
  }

  /** Removes a repository with its tags. */
  removeRepository(repository: string): void {
    if (this.#repositories.delete(repository)) this.#changes.push({ kind: 'gone', repository });
  }

  /** Records that a repository could not be read; its tags stay. */
  recordFailure(repository: string, error: string): void {
    this.#repositories.set(repository, { ...this.#open(repository), error });
    this.#changes.push({ kind: 'failure', repository, error });
  }

  /**
   * Records that the registry's list did not name a repository; returns in how many consecutive full scans that
   * happened.
   */
  recordMissed(repository: string): number {
    const known = this.#open(repository);
    const missedScans = known.missedScans + 1;
    this.#repositories.set(repository, { ...known, missedScans });
    this.#changes.push({ kind: 'missed', repository });
    return missedScans;
  }

  /** Replaces the held tags. */
  holdTags(tags: TagsByRepository): void {
    if (this.#held.size > 0 || tags.size > 0) this.#changes.push({ kind: 'held', tags });
  }

  /** Replaces the selections that were scanned in full. */
  recordScanned(taken: readonly string[]): void {
    this.#changes.push({ kind: 'scanned', taken });
  }

  /**
   * Commits the pending changes in order, so that a tag never leads to a missing manifest.
   * @throws StoreError
   */
  commit(): Promise<void> {
    const [changes, pngs] = [this.#changes, this.#pngs];
    this.#changes = [];
    this.#pngs = new Map();
    this.#pending = 0;
    if (changes.length > 0) {
      const { catalog, publications, registry, takenBy } = this.#options;
      this.#committing = this.#committing.then(async () => {
        // PNGs before the images that have them.
        await publications.putPngs(pngs);
        await catalog.commit(registry, changes, takenBy);
      });
      // Prevents an unhandled rejection; the next commit rejects with the error.
      this.#committing.catch(() => undefined);
    }
    return this.#committing;
  }

  /** Remembers the images that a tag does not lead to any more. */
  #remember(repository: string, before: TagRecord | undefined, now: TagRecord): void {
    if (this.#options.remembersReplaced !== true || before === undefined || before === now) return;
    const left = this.#imagesOf(now);
    const at = Date.now();
    const images = [...this.#imagesOf(before)].flatMap((digest): readonly ReplacedImage[] => {
      const image = this.#manifests.get(digest);
      if (left.has(digest) || image?.kind !== 'image') return [];
      return [{ repository, tag: now.tag, os: image.os, architecture: image.architecture, digest, at }];
    });
    if (images.length > 0) this.#changes.push({ kind: 'replaced', images });
  }

  #imagesOf({ digest, kept = [] }: TagRecord): ReadonlySet<Digest> {
    const found = new Set<Digest>();
    for (const one of [digest, ...kept]) this.imagesIn(one, found);
    return found;
  }

  #open(repository: string): OpenRepository {
    let known = this.#repositories.get(repository);
    if (known === undefined) {
      known = { error: undefined, missedScans: 0, isPublic: false, tags: new Map() };
      this.#repositories.set(repository, known);
    }
    return known;
  }
}
