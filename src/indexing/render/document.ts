/** Content of an index's document, and its JSON (flatpak-oci-specs, registry-index.md). */
import type { Digest } from '../../registry/digest.ts';
import type { Pairs } from './render-image.ts';

/** An image as its JSON shows it, without tags. */
export interface ShownImage {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly os: string;
  readonly architecture: string;
  readonly annotations: Pairs;
  readonly labels: Pairs;
}

/**
 * Tags of an image for which clients get another image of the same Flatpak ref and architecture, by where they look for
 * the ref.
 */
export interface HiddenTags {
  readonly label: readonly string[];
  readonly annotation: readonly string[];
  /** For clients that look in both, as the page does; `undefined` if no client accepts the image. */
  readonly either: readonly string[] | undefined;
}

/** An image of a repository or of a list. */
export interface PlacedImage {
  readonly image: ShownImage;
  readonly hidden: HiddenTags;
}

/** A tagged image of a repository. */
export interface ShownTag extends PlacedImage {
  /** Sorted. */
  readonly tags: readonly string[];
}

/** An image index or manifest list of a repository, with those of its images that are shown; never empty. */
export interface ShownList {
  /** Sorted. */
  readonly tags: readonly string[];
  readonly digest: Digest;
  readonly mediaType: string;
  readonly images: readonly PlacedImage[];
}

/** A repository as it is shown; never empty. */
export interface ShownRepository {
  readonly name: string;
  readonly images: readonly ShownTag[];
  readonly lists: readonly ShownList[];
}

/** Returns the JSON of an index up to its repositories. */
export function documentHead(registry: string): string {
  return `{"Registry":${JSON.stringify(registry)},"Results":[`;
}
/** End of the JSON of an index. */
export const DOCUMENT_END = ']}';

/** Returns the JSON of a repository up to its images. */
export function repositoryHead(name: string): string {
  return `{"Name":${JSON.stringify(name)},"Images":[`;
}
/** JSON between a repository's images and its lists. */
export const LISTS_HEAD = '],"Lists":[';
/** End of the JSON of a repository. */
export const REPOSITORY_END = ']}';

/** Returns the JSON of a list up to its images. */
export function listHead({ tags, digest, mediaType }: Omit<ShownList, 'images'>): string {
  return `{"Tags":${JSON.stringify(tags)},"Digest":${JSON.stringify(digest)},"MediaType":${JSON.stringify(mediaType)},"Images":[`;
}
/** End of the JSON of a list. */
export const LIST_END = ']}';

/**
 * Returns the JSON of an image.
 * @param tags its own tags; `undefined` in a list
 */
export function imageJson(
  tags: readonly string[] | undefined,
  { digest, mediaType, os, architecture, annotations, labels }: ShownImage,
): string {
  const head = tags === undefined ? '{' : `{"Tags":${JSON.stringify(tags)},`;
  const fixed = JSON.stringify({ Digest: digest, MediaType: mediaType, OS: os, Architecture: architecture }).slice(
    1,
    -1,
  );
  return `${head}${fixed},"Annotations":${pairsJson(annotations)},"Labels":${pairsJson(labels)}}`;
}

/** Writes pair by pair: as an object, `__proto__` would be lost and numeric keys would move to the front. */
function pairsJson(pairs: Pairs): string {
  return `{${pairs.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
}
