/** Which images of the catalog an index holds, by digest alone. */
import type { KnownManifest, KnownRegistry } from '../../store/catalog.ts';
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
  /** Behind its own ones those that are kept in place of what could not be read of it. */
  readonly images: readonly Digest[];
}

/** A repository's part of an index, both parts sorted by their tags. */
export interface SelectedRepository {
  readonly name: string;
  readonly images: readonly SelectedImage[];
  readonly lists: readonly SelectedList[];
}

/**
 * The images of a repository that `definition` takes by tag, which are `wanted`, and by architecture. What it requires of labels and
 * annotations is not looked at.
 * @param name a repository that the index takes; one that is not known has no images
 */
export function selectRepository(name: string, { repositories, manifests }: KnownRegistry, definition: IndexDefinition, wanted: Wanted): SelectedRepository {
  const architectures = definition.architectures && new Set(definition.architectures);
  const addImages = (manifest: KnownManifest | undefined, found: Set<Digest>): void => {
    if (manifest?.kind === 'image' && architectures?.has(manifest.architecture) !== false) found.add(manifest.descriptor.digest);
    // An index in the index, too.
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
  // Both stand in the order of their first tags, in which the catalog gives them.
  return { name, images, lists };
}

/** The digests of all images of a repository, each once. */
export function digestsOf({ images, lists }: SelectedRepository): readonly Digest[] {
  return [...new Set([...images.map(({ digest }) => digest), ...lists.flatMap((list) => list.images)])];
}

/** A repository with those images alone that `keeps` says; lists without any go. */
export function filterImages({ name, images, lists }: SelectedRepository, keeps: (digest: Digest) => boolean): SelectedRepository {
  return {
    name,
    images: images.filter(({ digest }) => keeps(digest)),
    lists: lists.map((list) => ({ ...list, images: list.images.filter(keeps) })).filter((list) => list.images.length > 0),
  };
}

/** `repository` with the images of its lists as if each was tagged itself, with the tags of the list. */
export function flatten({ name, images, lists }: SelectedRepository): SelectedRepository {
  const tagsOf = new Map<Digest, Set<string>>();
  const add = (digest: Digest, tags: readonly string[]): void => void tagsOf.set(digest, new Set([...(tagsOf.get(digest) ?? []), ...tags]));
  for (const { digest, tags } of images) add(digest, tags);
  for (const list of lists) for (const digest of list.images) add(digest, list.tags);
  const flat = [...tagsOf].map(([digest, tags]) => ({ digest, tags: [...tags].toSorted() }));
  // Those of one list stay in its order.
  return { name, images: flat.toSorted((a, b) => compare(a.tags[0] ?? '', b.tags[0] ?? '')), lists: [] };
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
