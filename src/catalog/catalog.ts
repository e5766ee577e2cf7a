/** Remembers what each registry holds, so that nothing immutable is read twice. */
import type { Descriptor, Manifest } from '../registry/manifest.ts';
import type { Digest } from '../registry/digest.ts';

/** An image as it is remembered: its manifest and its config in one. */
export interface Image extends Descriptor {
  readonly os: string;
  readonly architecture: string;
  /** All but {@link icons}. */
  readonly annotations: Readonly<Record<string, string>>;
  /** All but {@link icons}. */
  readonly labels: Readonly<Record<string, string>>;
  readonly icons: readonly ImageIcon[];
}

/** An annotation or a label that is an icon. Its PNG is remembered once, however many images have it. */
export interface ImageIcon {
  readonly place: 'annotation' | 'label';
  readonly key: string;
  /** Of the PNG. */
  readonly png: Digest;
}

/** What is remembered of a digest. An index's children stand in its order; a child may not be known (yet). Faults are those of children that cannot be read. */
export type KnownManifest =
  | { readonly kind: 'image'; readonly descriptor: Descriptor; readonly os: string; readonly architecture: string }
  | { readonly kind: 'index'; readonly descriptor: Descriptor; readonly manifests: readonly KnownChild[]; readonly faults?: readonly string[] }
  | { readonly kind: 'artifact'; readonly descriptor: Descriptor };

/** A child of an index and, if it is known, what it is; of an image also its architecture. */
export interface KnownChild {
  readonly digest: Digest;
  readonly kind: KnownManifest['kind'] | undefined;
  readonly architecture: string | undefined;
}

/** About what a tag takes, in bytes. */
export const TAG_BYTES = 200;
/** About what a manifest takes beside its texts, icons and children, in bytes. */
const MANIFEST_BYTES = 500;
/** About what a child of an index takes, in bytes. */
const CHILD_BYTES = 150;

/** About what an image takes, in bytes. @param pngs of its icons */
export function imageBytes({ annotations, labels }: Pick<Image, 'annotations' | 'labels'>, pngs: ReadonlyMap<Digest, Buffer>): number {
  let bytes = MANIFEST_BYTES;
  for (const texts of [annotations, labels]) for (const [key, value] of Object.entries(texts)) bytes += key.length + value.length;
  for (const { length } of pngs.values()) bytes += length;
  return bytes;
}

/** About what an image index or an artifact takes, in bytes. */
export function manifestBytes(manifest: Exclude<Manifest, { kind: 'image' }>): number {
  return MANIFEST_BYTES + (manifest.kind === 'index' ? (manifest.manifests.length + (manifest.faults?.length ?? 0)) * CHILD_BYTES : 0);
}

/** A repository and how its last scan went. */
export interface RepositoryState {
  readonly name: string;
  /** Why the last scan failed; what was known before it is kept. */
  readonly error: string | undefined;
  /** Full scans in a row whose list of repositories did not name it. */
  readonly missedScans: number;
}

/** A tag and the digest it pointed to when it was last read. */
export interface TagRecord {
  readonly tag: string;
  readonly digest: Digest;
  /** Images that the tag led to before, in place of those that could not be read since; absent if there are none. */
  readonly kept?: readonly Digest[];
}

/** Tags by repository. */
export type TagsByRepository = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * What each registry holds. `registry` is always a {@link RegistrySource}'s `id`.
 * Tags are kept for each registry and repository; manifests for each registry that gave them, and shared by its repositories.
 * Reads see what was written before them; each write method is one transaction, whole or not at all.
 * Every method throws a {@link CatalogError} if what it is kept in is damaged, full or cannot be reached.
 */
export interface Catalog {
  /** Another one for each catalog that is begun anew: tells one that has lost what it knew from one that goes on. */
  readonly id: string;

  /** All repositories of a registry, by name in code point order. */
  repositories(registry: string): readonly RepositoryState[];

  /** The tags of a repository, by name in code point order; none if it is not known. */
  tags(registry: string, repository: string): readonly TagRecord[];

  /** What a registry has given for a digest, without labels and annotations; `undefined` if nothing. */
  manifest(registry: string, digest: Digest): KnownManifest | undefined;

  /** Says whether a registry has given a digest and all that it leads to, and nothing of it has a fault. */
  isWhole(registry: string, digest: Digest): boolean;

  /** An image with its labels and annotations, and which icons it has; `undefined` if the registry has not given the digest, or it is no image. */
  image(registry: string, digest: Digest): Image | undefined;

  /** The PNG of an image's icon. Throws the {@link CatalogError} of a damaged file if it is not there, or not what it was. */
  png(digest: Digest): Buffer;

  /** About how many bytes are kept of what a registry has given. */
  stored(registry: string): number;

  /** What full scans of a registry took, in the words of {@link recordScanned}; none before the first one. */
  scanned(registry: string): readonly string[];

  /** The tags of a registry that it says are gone, and that are kept until it says so again. */
  heldTags(registry: string): TagsByRepository;

  /** Remembers an image that a registry has given, with the PNGs of its icons. Safe to repeat. */
  putImage(registry: string, image: Image, pngs: ReadonlyMap<Digest, Buffer>): void;

  /** Remembers an image index or an artifact that a registry has given. Safe to repeat. */
  putManifest(registry: string, manifest: Exclude<Manifest, { kind: 'image' }>): void;

  /**
   * Runs several writes as one transaction; rolled back if `write` throws. One inside another is part of it, so that an error in
   * either rolls back both. Not for `async` functions.
   * Many look-ups in a row are also faster in one.
   */
  transaction<T>(write: () => T): T;

  /** The whole and successful result of reading a repository's tags: replaces them, and clears error and missed scans. */
  replaceTags(registry: string, repository: string, tags: readonly TagRecord[]): void;

  /** One tag was read. Leaves the repository's other tags alone. */
  setTag(registry: string, repository: string, tag: TagRecord): void;

  /** One tag is gone. Leaves the repository's other tags alone. */
  removeTag(registry: string, repository: string, tag: string): void;

  /** A repository could not be read: its content stays. */
  recordFailure(registry: string, repository: string, error: string): void;

  /** The registry's list did not name this repository: counts one more missed scan and returns how many there are; 0 if it is not known. */
  recordMissed(registry: string, repository: string): number;

  /** The registry said that the repository is gone. */
  removeRepository(registry: string, repository: string): void;

  /** Forgets all registries but these, with what is known of them. */
  keepRegistries(registries: ReadonlySet<string>): void;

  /** A full scan of the registry ended: of all that `taken` stands for, everything that could be read was read. Replaces what was said before. */
  recordScanned(registry: string, taken: readonly string[]): void;

  /** Replaces what {@link heldTags} tells; the tags themselves stay as they are. */
  recordHeldTags(registry: string, tags: TagsByRepository): void;

  /** Forgets manifests that no tag leads to any more, and the PNGs that were theirs alone; returns how many manifests. */
  prune(): number;

  close(): void;
}
