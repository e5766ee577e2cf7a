/** Selects the images that an index takes, by digest. */
import type { KnownManifest, KnownRegistry } from '../../store/catalog.ts';
import { compareTexts } from '../../system/compare-texts.ts';
import type { Digest } from '../../registry/digest.ts';
import type { Wanted } from './wanted.ts';
import type { IndexDefinition } from '../index-definition.ts';

/** An image that is tagged itself. */
export interface SelectedImage {
  /** Sorted. */
  readonly tags: readonly string[];
  readonly digest: Digest;
}

/** An image index and the images in it, nested ones included, in its order. */
export interface SelectedList {
  /** Sorted. */
  readonly tags: readonly string[];
  readonly digest: Digest;
  readonly mediaType: string;
  /** Its own images, then earlier ones that are kept in place of those that could not be read. */
  readonly images: readonly Digest[];
}

/** Selected images and lists of a repository, sorted by their tags. */
export interface SelectedRepository {
  readonly name: string;
  readonly images: readonly SelectedImage[];
  readonly lists: readonly SelectedList[];
}

/**
 * Selects the images of a repository by tag (`wanted`) and architecture (`definition`), but not by required labels and
 * annotations.
 * @param name a repository that the index takes; an unknown one has no images
 */
export function selectRepository(
  name: string,
  { repositories, manifests }: KnownRegistry,
  definition: IndexDefinition,
  wanted: Wanted,
): SelectedRepository {
  const architectures = definition.architectures && new Set(definition.architectures);
  const addImages = (manifest: KnownManifest | undefined, found: Set<Digest>): void => {
    if (manifest?.kind === 'image' && architectures?.has(manifest.architecture) !== false)
      found.add(manifest.descriptor.digest);
    // Also those of nested indexes.
    if (manifest?.kind === 'index') for (const child of manifest.manifests) addImages(manifests.get(child), found);
  };

  const tagged = new Map<Digest, { readonly tags: string[]; readonly kept: Digest[] }>();
  for (const { tag, digest, kept = [] } of repositories.get(name)?.tags.values() ?? []) {
    if (!wanted.tag(tag)) continue;
    const one = tagged.get(digest) ?? { tags: [], kept: [] };
    one.tags.push(tag);
    one.kept.push(...kept);
    tagged.set(digest, one);
  }
  const images: SelectedImage[] = [];
  const lists: SelectedList[] = [];
  for (const [digest, { tags, kept }] of tagged) {
    const manifest = manifests.get(digest);
    if (manifest === undefined || manifest.kind === 'artifact') continue;
    const found = new Set<Digest>();
    addImages(manifest, found);
    for (const image of kept) addImages(manifests.get(image), found);
    if (found.size === 0) continue;
    if (manifest.kind === 'image') images.push({ tags, digest });
    else lists.push({ tags, digest, mediaType: manifest.descriptor.mediaType, images: [...found] });
  }
  // Both are in the order of their first tags, since the catalog returns tags sorted.
  return { name, images, lists };
}

/** Returns the digests of all images of a repository, each once. */
export function digestsOf({ images, lists }: SelectedRepository): readonly Digest[] {
  return [...new Set([...images.map(({ digest }) => digest), ...lists.flatMap((list) => list.images)])];
}

/** Filters the images of a repository; removes lists that become empty. */
export function filterImages(
  { name, images, lists }: SelectedRepository,
  keeps: (digest: Digest) => boolean,
): SelectedRepository {
  return {
    name,
    images: images.filter(({ digest }) => keeps(digest)),
    lists: lists
      .map((list) => ({ ...list, images: list.images.filter(keeps) }))
      .filter((list) => list.images.length > 0),
  };
}

/** Turns the images of lists into images with the tags of their lists. */
export function flatten({ name, images, lists }: SelectedRepository): SelectedRepository {
  const tagsOf = new Map<Digest, Set<string>>();
  const add = (digest: Digest, tags: readonly string[]): void =>
    void tagsOf.set(digest, new Set([...(tagsOf.get(digest) ?? []), ...tags]));
  for (const { digest, tags } of images) add(digest, tags);
  for (const list of lists) for (const digest of list.images) add(digest, list.tags);
  const flat = [...tagsOf].map(([digest, tags]) => ({ digest, tags: [...tags].toSorted() }));
  // The sort is stable: images of one list stay in its order.
  return { name, images: flat.toSorted((a, b) => compareTexts(a.tags[0] ?? '', b.tags[0] ?? '')), lists: [] };
}
