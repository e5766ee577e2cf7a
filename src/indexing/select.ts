/** Which images of the catalog an index holds, by digest alone. */
import { createHash } from 'node:crypto';
import type { Catalog, KnownManifest } from '../catalog/catalog.ts';
import type { Digest } from '../registry/digest.ts';
import type { Wanted } from './globs.ts';
import type { IndexDefinition } from './index-definition.ts';

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

/** What of the catalog is looked at. */
export type SelectionSource = Pick<Catalog, 'repositories' | 'tags' | 'manifest'>;

/** A repository's part of an index, both parts sorted by their tags. */
export interface SelectedRepository {
  readonly name: string;
  readonly images: readonly SelectedImage[];
  readonly lists: readonly SelectedList[];
}

/**
 * The repositories, sorted by name, and in them the images that `definition` takes by repository and tag, which are `wanted`,
 * and by architecture. What it requires of labels and annotations is not looked at.
 */
export function select(catalog: SelectionSource, definition: IndexDefinition, wanted: Wanted): readonly SelectedRepository[] {
  const architectures = definition.architectures && new Set(definition.architectures);

  const known = (digest: Digest): KnownManifest | undefined => catalog.manifest(definition.registry, digest);
  const addImage = (digest: Digest, architecture: string, found: Set<Digest>): void => {
    if (architectures?.has(architecture) !== false) found.add(digest);
  };
  const addImages = (manifest: KnownManifest | undefined, found: Set<Digest>): void => {
    if (manifest?.kind === 'image') addImage(manifest.descriptor.digest, manifest.architecture, found);
    if (manifest?.kind !== 'index') return;
    for (const { digest, kind, architecture } of manifest.manifests) {
      if (kind === 'image') addImage(digest, architecture ?? '', found);
      // An index in the index.
      else if (kind === 'index') addImages(known(digest), found);
    }
  };

  const selected: SelectedRepository[] = [];
  for (const { name } of catalog.repositories(definition.registry)) {
    if (!wanted.repository(name)) continue;
    const tagged = new Map<Digest, { readonly tags: string[]; readonly kept: Digest[] }>();
    for (const { tag, digest, kept = [] } of catalog.tags(definition.registry, name)) {
      if (!wanted.tag(tag)) continue;
      const one = tagged.get(digest) ?? { tags: [], kept: [] };
      one.tags.push(tag);
      one.kept.push(...kept);
      tagged.set(digest, one);
    }

    const images: SelectedImage[] = [];
    const lists: SelectedList[] = [];
    for (const [digest, { tags, kept }] of tagged) {
      const manifest = known(digest);
      if (manifest === undefined || manifest.kind === 'artifact') continue;
      const found = new Set<Digest>();
      addImages(manifest, found);
      for (const image of kept) addImages(known(image), found);
      if (found.size === 0) continue;
      if (manifest.kind === 'image') images.push({ tags, digest });
      else lists.push({ tags, digest, mediaType: manifest.descriptor.mediaType, images: [...found] });
    }
    // Both stand in the order of their first tags, in which the catalog gives them.
    if (images.length > 0 || lists.length > 0) selected.push({ name, images, lists });
  }
  return selected;
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

/**
 * Tells without reading a label whether an index would come out the same: a hash of all that it is made from.
 * `renderer` names the version of the code and the settings that are not in the definition.
 */
export function fingerprintOf(selection: readonly SelectedRepository[], definition: IndexDefinition, renderer: string): string {
  const hash = createHash('sha256').update(JSON.stringify([renderer, definition]));
  for (const repository of selection) hash.update(JSON.stringify(repository));
  return hash.digest('base64url');
}
