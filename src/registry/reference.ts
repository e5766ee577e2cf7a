/** Names of repositories and tags (OCI distribution-spec, "Pulling manifests"). */

const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
/** What a tag is; at most 128 characters. */
export const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const MAX_REPOSITORY_LENGTH = 255;
/** The tag that clients ask for unless they are told another. */
export const DEFAULT_TAG = 'latest';
/** Leads to the updates between a repository's images, and to no image (flatpak-oci-specs, image-deltas.md). */
export const DELTA_INDEX_TAG = '_deltaindex';

/** Says whether `text` may name a repository; at most 255 characters. */
export function isRepositoryName(text: unknown): text is string {
  return typeof text === 'string' && text.length <= MAX_REPOSITORY_LENGTH && REPOSITORY.test(text);
}

/** Says whether `text` may be a tag; at most 128 characters. */
export function isTag(text: unknown): text is string {
  return typeof text === 'string' && TAG.test(text);
}
