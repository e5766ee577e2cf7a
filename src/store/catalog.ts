/** The catalog: what each registry holds, kept so that nothing immutable is fetched twice. */
import type { Descriptor, Manifest } from '../registry/manifest.ts';
import type { Digest } from '../registry/digest.ts';
import type { Deltas, ReplacedImage } from './deltas.ts';

/** An image in the catalog: its manifest and its config in one. */
export interface Image extends Descriptor {
  readonly os: string;
  readonly architecture: string;
  /** Without {@link icons}. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Without {@link icons}. */
  readonly labels: Readonly<Record<string, string>>;
  readonly icons: readonly ImageIcon[];
}

/** An annotation or a label that is an icon. Its PNG is stored once, however many images have it. */
export interface ImageIcon {
  readonly place: 'annotation' | 'label';
  readonly key: string;
  /** Digest of the PNG. */
  readonly png: Digest;
}

/**
 * A manifest in the catalog. An image index has its children in order, some of which may not be known (yet); `faults`
 * describe children that are not valid.
 */
export type KnownManifest =
  | { readonly kind: 'image'; readonly descriptor: Descriptor; readonly os: string; readonly architecture: string }
  | {
      readonly kind: 'index';
      readonly descriptor: Descriptor;
      readonly manifests: readonly Digest[];
      readonly faults?: readonly string[];
    }
  | { readonly kind: 'artifact'; readonly descriptor: Descriptor };

/** Estimated size of a tag in the catalog, in bytes. */
export const TAG_BYTES = 200;
/** Estimated size of a manifest without its texts, icons and children, in bytes. */
const MANIFEST_BYTES = 500;
/** Estimated size of a child of an image index, in bytes. */
const CHILD_BYTES = 150;

/**
 * Estimates the size of an image in the catalog, in bytes.
 * @param pngs PNGs of its icons
 */
export function imageBytes(
  { annotations, labels }: Pick<Image, 'annotations' | 'labels'>,
  pngs: ReadonlyMap<Digest, Uint8Array>,
): number {
  let bytes = MANIFEST_BYTES;
  for (const texts of [annotations, labels])
    for (const [key, value] of Object.entries(texts)) bytes += key.length + value.length;
  for (const { length } of pngs.values()) bytes += length;
  return bytes;
}

/** Estimates the size of an image index or an artifact in the catalog, in bytes. */
export function manifestBytes(manifest: Exclude<Manifest, { kind: 'image' }>): number {
  return (
    MANIFEST_BYTES +
    (manifest.kind === 'index' ? (manifest.manifests.length + (manifest.faults?.length ?? 0)) * CHILD_BYTES : 0)
  );
}

/** A tag and the digest it pointed to when it was last read. */
export interface TagRecord {
  readonly tag: string;
  readonly digest: Digest;
  /**
   * Images that the tag led to before and that stand in for those that could not be read since; absent if there are
   * none.
   */
  readonly kept?: readonly Digest[];
}

/** A repository as it was last read. */
export interface KnownRepository {
  /** Why its last scan failed; what was known before is kept. */
  readonly error: string | undefined;
  /** Consecutive full scans whose list of repositories did not name it. */
  readonly missedScans: number;
  /** Whether its tags were last read without a login. */
  readonly isPublic: boolean;
  /** By tag, in code point order. */
  readonly tags: ReadonlyMap<string, TagRecord>;
}

/** Repositories of one registry as they are known, with all manifests that their tags lead to. */
export interface KnownRegistry {
  /** By name, in code point order. */
  readonly repositories: ReadonlyMap<string, KnownRepository>;
  readonly manifests: ReadonlyMap<Digest, KnownManifest>;
}

/** Tags by repository. */
export type TagsByRepository = ReadonlyMap<string, ReadonlySet<string>>;

/** One change to what is known of a registry. */
export type CatalogChange =
  /** An image was read. `refs` are the Flatpak refs that it claims, `bytes` is its {@link imageBytes}. */
  | { readonly kind: 'image'; readonly image: Image; readonly refs: readonly string[]; readonly bytes: number }
  /** An image index or an artifact was read. */
  | { readonly kind: 'manifest'; readonly manifest: Exclude<Manifest, { kind: 'image' }> }
  /** All tags of a repository were read: replaces them, and clears its error and missed scans. */
  | { readonly kind: 'tags'; readonly repository: string; readonly tags: readonly TagRecord[] }
  /** The tags of a repository were read without a login, or with one. */
  | { readonly kind: 'access'; readonly repository: string; readonly isPublic: boolean }
  /** One tag was read. Leaves the repository's other tags alone. */
  | { readonly kind: 'tag'; readonly repository: string; readonly tag: TagRecord }
  /** One tag is gone. Leaves the repository's other tags alone. */
  | { readonly kind: 'tag-gone'; readonly repository: string; readonly tag: string }
  /** Images to which a tag of a repository does not lead any more. */
  | { readonly kind: 'replaced'; readonly images: readonly ReplacedImage[] }
  /** A repository could not be read: its tags stay. */
  | { readonly kind: 'failure'; readonly repository: string; readonly error: string }
  /** The registry's list did not name this repository: counts one more missed scan, if the repository is known. */
  | { readonly kind: 'missed'; readonly repository: string }
  /** The registry says that the repository is gone, or no index takes it any more. */
  | { readonly kind: 'gone'; readonly repository: string }
  /** Replaces the record of what was scanned in full; see {@link Catalog.scanned}. */
  | { readonly kind: 'scanned'; readonly taken: readonly string[] }
  /** Replaces the held tags of the registry; see {@link Catalog.heldTags}. */
  | { readonly kind: 'held'; readonly tags: TagsByRepository };

/** Repositories that an index has to render again. */
export interface DirtyRepositories {
  readonly repositories: readonly string[];
  /** The newest mark among them; for {@link Catalog.clearDirty}. */
  readonly upTo: number;
}

/** Returns the names of the indexes that take a repository. */
export type TakenBy = (repository: string) => readonly string[];

/**
 * Content of each registry. `registry` is always the `id` of a {@link RegistrySource}. Tags are kept by registry and
 * repository, manifests by registry. Each method is one transaction that sees all earlier commits, and rejects with a
 * {@link StoreError}.
 */
export interface Catalog {
  /** Random id of this catalog, made when it is created: a catalog that was lost and created again has another one. */
  readonly id: string;

  /** Records of deltas. */
  readonly deltas: Deltas;

  /** Returns what is known of a registry, or only of some of its repositories. */
  known(registry: string, repositories?: readonly string[]): Promise<KnownRegistry>;

  /** Returns the manifests of these digests and all that they lead to; unknown ones are left out. */
  manifests(registry: string, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, KnownManifest>>;

  /** Returns images of a registry with their labels and annotations; unknown ones are left out. */
  images(registry: string, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, Image>>;

  /** Returns, by Flatpak ref, the repositories of a registry whose tags lead to images that claim it. */
  repositoriesWithRefs(registry: string, refs: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>>;

  /** Returns the estimated size of what is kept of a registry, in bytes. */
  stored(registry: string): Promise<number>;

  /** Returns the selections (of repositories and tags) that were scanned in full; empty before the first full scan. */
  scanned(registry: string): Promise<readonly string[]>;

  /** Returns the tags that the registry says are gone and that are kept until it says so again. */
  heldTags(registry: string): Promise<TagsByRepository>;

  /**
   * Commits changes, and marks the affected repositories as dirty for each index that takes them: those whose tags
   * changed, those whose tags lead to a manifest that was read, and those that hold the same Flatpak refs.
   */
  commit(registry: string, changes: readonly CatalogChange[], takenBy: TakenBy): Promise<void>;

  /** Returns the repositories that are marked as dirty for an index. */
  dirty(index: string): Promise<DirtyRepositories>;

  /** Clears the marks of an index up to `upTo`, whose changes are published now; later ones stay. */
  clearDirty(index: string, upTo: number): Promise<void>;

  /** Returns the icons of all images of a registry, each with the images that have it. */
  icons(registry: string): Promise<ReadonlyMap<Digest, readonly Digest[]>>;

  /** Removes all registries but these, with all that is known of them. */
  keepRegistries(registries: ReadonlySet<string>): Promise<void>;

  /** Removes manifests that no tag leads to any more; returns how many. */
  prune(): Promise<number>;

  /** Closes the catalog. Safe to repeat. */
  close(): Promise<void>;
}
