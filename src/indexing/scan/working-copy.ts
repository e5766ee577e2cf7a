/** What is known of a registry while it is scanned: loaded once, looked at and changed in memory, committed in batches. */
import type { Digest } from '../../registry/digest.ts';
import type { Manifest } from '../../registry/manifest.ts';
import { imageBytes } from '../../store/catalog.ts';
import type { Catalog, CatalogChange, Image, KnownManifest, KnownRegistry, KnownRepository, TagRecord, TagsByRepository, TakenBy } from '../../store/catalog.ts';
import type { Publications } from '../../store/publications.ts';
import { refsOf } from '../select/image-facts.ts';

/** Bytes of images that wait to be committed: then it is done. */
const MAX_PENDING = 500_000;
/** Changes that wait to be committed. */
const MAX_CHANGES = 10_000;

export interface WorkingCopyOptions {
  readonly catalog: Catalog;
  readonly publications: Publications;
  readonly registry: string;
  /** Those that are read alone; all if absent. */
  readonly repositories?: readonly string[] | undefined;
  readonly takenBy: TakenBy;
  /** Digests that are to be read again, as if they were not known. */
  readonly suspect?: ReadonlySet<Digest> | undefined;
}

interface OpenRepository {
  readonly error: string | undefined;
  readonly missedScans: number;
  readonly tags: Map<string, TagRecord>;
}

export class WorkingCopy {
  readonly #options: WorkingCopyOptions;
  readonly #repositories: Map<string, OpenRepository>;
  readonly #manifests: Map<Digest, KnownManifest>;
  readonly #held: TagsByRepository;
  /** About how many bytes are kept of the registry. */
  readonly stored: number;
  #changes: CatalogChange[] = [];
  #pngs = new Map<Digest, Uint8Array>();
  #pending = 0;
  #committing: Promise<void> = Promise.resolve();

  private constructor(options: WorkingCopyOptions, { repositories, manifests }: KnownRegistry, held: TagsByRepository, stored: number) {
    this.#options = options;
    this.#repositories = new Map([...repositories].map(([name, repository]) => [name, { ...repository, tags: new Map(repository.tags) }]));
    this.#manifests = new Map([...manifests].filter(([digest]) => options.suspect?.has(digest) !== true));
    this.#held = held;
    this.stored = stored;
  }

  /** @throws StoreError */
  static async load(options: WorkingCopyOptions): Promise<WorkingCopy> {
    const { catalog, registry, repositories } = options;
    return new WorkingCopy(options, await catalog.known(registry, repositories), await catalog.heldTags(registry), await catalog.stored(registry));
  }

  /** All that is known now, for who looks at it as a whole: of all repositories, those included that were not loaded. @throws StoreError */
  async everything(): Promise<KnownRegistry> {
    const { catalog, registry, repositories } = this.#options;
    // The texts of images are looked up in the catalog.
    await this.commit();
    return repositories === undefined ? { repositories: this.#repositories, manifests: this.#manifests } : catalog.known(registry);
  }

  get repositories(): ReadonlyMap<string, KnownRepository> {
    return this.#repositories;
  }

  /** The tags that were held when it was loaded. */
  get heldTags(): TagsByRepository {
    return this.#held;
  }

  tags(repository: string): ReadonlyMap<string, TagRecord> {
    return this.#repositories.get(repository)?.tags ?? new Map<string, TagRecord>();
  }

  /** What the registry has given for a digest. @throws StoreError */
  async manifest(digest: Digest): Promise<KnownManifest | undefined> {
    const known = this.#manifests.get(digest);
    // All was loaded that a tag leads to; other repositories may know more.
    if (known !== undefined || this.#options.repositories === undefined) return known;
    const { catalog, registry } = this.#options;
    for (const [one, manifest] of await catalog.manifests(registry, [digest])) if (!this.#manifests.has(one)) this.#manifests.set(one, manifest);
    return this.#manifests.get(digest);
  }

  /** Says whether the registry has given a digest and all that it leads to, and nothing of it has a fault. */
  isWhole(digest: Digest): boolean {
    const manifest = this.#manifests.get(digest);
    if (manifest?.kind !== 'index') return manifest !== undefined;
    return manifest.faults === undefined && manifest.manifests.every((child) => this.isWhole(child));
  }

  /** Images that are known of a digest, those of nested indexes included. */
  imagesIn(digest: Digest, found: Set<Digest> = new Set()): ReadonlySet<Digest> {
    const manifest = this.#manifests.get(digest);
    if (manifest?.kind === 'image') found.add(digest);
    if (manifest?.kind === 'index') for (const child of manifest.manifests) this.imagesIn(child, found);
    return found;
  }

  /** Images with their texts, those that were just read included. @throws StoreError */
  async images(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, Image>> {
    await this.commit();
    return this.#options.catalog.images(this.#options.registry, digests);
  }

  /** Remembers an image with the PNGs of its icons; waits while many others wait to be committed. @throws StoreError */
  async putImage(image: Image, pngs: ReadonlyMap<Digest, Buffer>): Promise<void> {
    const { mediaType, digest, size, os, architecture } = image;
    this.#manifests.set(digest, { kind: 'image', descriptor: { mediaType, digest, size }, os, architecture });
    const bytes = imageBytes(image, pngs);
    this.#changes.push({ kind: 'image', image, refs: refsOf(image), bytes });
    this.#pending += bytes;
    for (const [png, its] of pngs) this.#pngs.set(png, its);
    if (this.#pending > MAX_PENDING) await this.commit();
  }

  putManifest(manifest: Exclude<Manifest, { kind: 'image' }>): void {
    const { mediaType, digest, size } = manifest;
    const descriptor = { mediaType, digest, size };
    if (manifest.kind === 'artifact') this.#manifests.set(digest, { kind: 'artifact', descriptor });
    else {
      const { faults = [] } = manifest;
      this.#manifests.set(digest, { kind: 'index', descriptor, manifests: manifest.manifests.map((child) => child.digest), ...(faults.length > 0 && { faults }) });
    }
    this.#changes.push({ kind: 'manifest', manifest });
    if (this.#changes.length > MAX_CHANGES) void this.commit();
  }

  /** The whole and successful result of reading a repository's tags. */
  replaceTags(repository: string, tags: readonly TagRecord[]): void {
    this.#repositories.set(repository, { error: undefined, missedScans: 0, tags: new Map(tags.map((record) => [record.tag, record])) });
    this.#changes.push({ kind: 'tags', repository, tags });
  }

  setTag(repository: string, tag: TagRecord): void {
    this.#open(repository).tags.set(tag.tag, tag);
    this.#changes.push({ kind: 'tag', repository, tag });
  }

  removeTag(repository: string, tag: string): void {
    if (this.#repositories.get(repository)?.tags.delete(tag) === true) this.#changes.push({ kind: 'tag-gone', repository, tag });
  }

  removeRepository(repository: string): void {
    if (this.#repositories.delete(repository)) this.#changes.push({ kind: 'gone', repository });
  }

  recordFailure(repository: string, error: string): void {
    this.#repositories.set(repository, { ...this.#open(repository), error });
    this.#changes.push({ kind: 'failure', repository, error });
  }

  /** The registry's list did not name this repository: returns in how many full scans in a row now. */
  recordMissed(repository: string): number {
    const known = this.#open(repository);
    const missedScans = known.missedScans + 1;
    this.#repositories.set(repository, { ...known, missedScans });
    this.#changes.push({ kind: 'missed', repository });
    return missedScans;
  }

  /** Replaces the tags that are held. */
  holdTags(tags: TagsByRepository): void {
    if (this.#held.size > 0 || tags.size > 0) this.#changes.push({ kind: 'held', tags });
  }

  /** Replaces what was scanned in full. */
  recordScanned(taken: readonly string[]): void {
    this.#changes.push({ kind: 'scanned', taken });
  }

  /** Commits what has changed, in its order, so that a tag never leads to what is not there. @throws StoreError */
  commit(): Promise<void> {
    const [changes, pngs] = [this.#changes, this.#pngs];
    this.#changes = [];
    this.#pngs = new Map();
    this.#pending = 0;
    if (changes.length > 0) {
      const { catalog, publications, registry, takenBy } = this.#options;
      this.#committing = this.#committing.then(async () => {
        // Before the images that have them.
        await publications.putPngs(pngs);
        await catalog.commit(registry, changes, takenBy);
      });
      // Whoever commits next is told.
      this.#committing.catch(() => undefined);
    }
    return this.#committing;
  }

  #open(repository: string): OpenRepository {
    let known = this.#repositories.get(repository);
    if (known === undefined) {
      known = { error: undefined, missedScans: 0, tags: new Map() };
      this.#repositories.set(repository, known);
    }
    return known;
  }
}
