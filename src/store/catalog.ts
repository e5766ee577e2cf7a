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
  | { readonly kind: 'index'; readonly descriptor: Descriptor; readonly manifests: readonly Digest[]; readonly faults?: readonly string[] }
  | { readonly kind: 'artifact'; readonly descriptor: Descriptor };

/** About what a tag takes, in bytes. */
export const TAG_BYTES = 200;
/** About what a manifest takes beside its texts, icons and children, in bytes. */
const MANIFEST_BYTES = 500;
/** About what a child of an index takes, in bytes. */
const CHILD_BYTES = 150;

/** About what an image takes, in bytes. @param pngs of its icons */
export function imageBytes({ annotations, labels }: Pick<Image, 'annotations' | 'labels'>, pngs: ReadonlyMap<Digest, Uint8Array>): number {
  let bytes = MANIFEST_BYTES;
  for (const texts of [annotations, labels]) for (const [key, value] of Object.entries(texts)) bytes += key.length + value.length;
  for (const { length } of pngs.values()) bytes += length;
  return bytes;
}

/** About what an image index or an artifact takes, in bytes. */
export function manifestBytes(manifest: Exclude<Manifest, { kind: 'image' }>): number {
  return MANIFEST_BYTES + (manifest.kind === 'index' ? (manifest.manifests.length + (manifest.faults?.length ?? 0)) * CHILD_BYTES : 0);
}

/** A tag and the digest it pointed to when it was last read. */
export interface TagRecord {
  readonly tag: string;
  readonly digest: Digest;
  /** Images that the tag led to before, in place of those that could not be read since; absent if there are none. */
  readonly kept?: readonly Digest[];
}

/** A repository as it was last read. */
export interface KnownRepository {
  /** Why the last scan of it failed; what was known before it is kept. */
  readonly error: string | undefined;
  /** Full scans in a row whose list of repositories did not name it. */
  readonly missedScans: number;
  /** By tag in code point order. */
  readonly tags: ReadonlyMap<string, TagRecord>;
}

/** What is known of some repositories of one registry, and of all that their tags lead to. */
export interface KnownRegistry {
  /** By name in code point order. */
  readonly repositories: ReadonlyMap<string, KnownRepository>;
  readonly manifests: ReadonlyMap<Digest, KnownManifest>;
}

/** Tags by repository. */
export type TagsByRepository = ReadonlyMap<string, ReadonlySet<string>>;

/** Something that was learnt of a registry. */
export type CatalogChange =
  /** An image that was read. `refs` are the Flatpak refs that it claims, `bytes` is {@link imageBytes}. */
  | { readonly kind: 'image'; readonly image: Image; readonly refs: readonly string[]; readonly bytes: number }
  /** An image index or an artifact that was read. */
  | { readonly kind: 'manifest'; readonly manifest: Exclude<Manifest, { kind: 'image' }> }
  /** The whole and successful result of reading a repository's tags: replaces them, and clears error and missed scans. */
  | { readonly kind: 'tags'; readonly repository: string; readonly tags: readonly TagRecord[] }
  /** One tag was read. Leaves the repository's other tags alone. */
  | { readonly kind: 'tag'; readonly repository: string; readonly tag: TagRecord }
  /** One tag is gone. Leaves the repository's other tags alone. */
  | { readonly kind: 'tag-gone'; readonly repository: string; readonly tag: string }
  /** A repository could not be read: its content stays. */
  | { readonly kind: 'failure'; readonly repository: string; readonly error: string }
  /** The registry's list did not name this repository: counts one more missed scan of one that is known. */
  | { readonly kind: 'missed'; readonly repository: string }
  /** The registry says that the repository is gone, or no index takes it any more. */
  | { readonly kind: 'gone'; readonly repository: string }
  /** Replaces what was scanned of the registry in full; see {@link Catalog.scanned}. */
  | { readonly kind: 'scanned'; readonly taken: readonly string[] }
  /** Replaces the tags of the registry that are held; see {@link Catalog.heldTags}. */
  | { readonly kind: 'held'; readonly tags: TagsByRepository };

/** Repositories of which an index has to be rendered again. */
export interface DirtyRepositories {
  readonly repositories: readonly string[];
  /** The last mark that was read; for {@link Catalog.clearDirty}. */
  readonly upTo: number;
}

/** Names the indexes that take a repository. */
export type TakenBy = (repository: string) => readonly string[];

/**
 * What each registry holds. `registry` is always a {@link RegistrySource}'s `id`. Tags are kept for each registry and repository;
 * manifests for each registry that gave them, and shared by its repositories. Each method is one transaction, and sees what was committed before it.
 * Every method rejects with a {@link StoreError} if what the catalog is kept in is damaged, full or cannot be reached.
 */
export interface Catalog {
  /** Another one for each catalog that is begun anew: tells one that has lost what it knew from one that goes on. */
  readonly id: string;

  /** What is known of a registry; of some of its repositories alone, if they are given. */
  known(registry: string, repositories?: readonly string[]): Promise<KnownRegistry>;

  /** What a registry has given for digests, and all that they lead to; what is not known is left out. */
  manifests(registry: string, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, KnownManifest>>;

  /** Images that a registry has given, with their labels and annotations; those that are not known are left out. */
  images(registry: string, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, Image>>;

  /** The repositories of a registry whose tags lead to images that claim one of these Flatpak refs, by ref. */
  repositoriesWithRefs(registry: string, refs: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>>;

  /** About how many bytes are kept of what a registry has given. */
  stored(registry: string): Promise<number>;

  /** What full scans of a registry took, as the indexes put it; none before the first one. */
  scanned(registry: string): Promise<readonly string[]>;

  /** The tags of a registry that it says are gone, and that are kept until it says so again. */
  heldTags(registry: string): Promise<TagsByRepository>;

  /**
   * Commits what was learnt of a registry, and marks what has changed by it as dirty for each index that takes it: repositories whose
   * tags changed, those whose tags lead to what was read, and those that hold the same Flatpak refs.
   */
  commit(registry: string, changes: readonly CatalogChange[], takenBy: TakenBy): Promise<void>;

  /** What was marked as dirty for an index, and not cleared since. */
  dirty(index: string): Promise<DirtyRepositories>;

  /** Clears marks that an index's last publication shows; those that came after `upTo` stay. */
  clearDirty(index: string, upTo: number): Promise<void>;

  /** The icons of all images of a registry, and which images have each. */
  icons(registry: string): Promise<ReadonlyMap<Digest, readonly Digest[]>>;

  /** Forgets all registries but these, with what is known of them. */
  keepRegistries(registries: ReadonlySet<string>): Promise<void>;

  /** Forgets manifests that no tag leads to any more; returns how many. */
  prune(): Promise<number>;

  close(): Promise<void>;
}
