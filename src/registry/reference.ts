/** Names of repositories and tags (OCI distribution-spec, "Pulling manifests"). */

const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
/** A valid tag; at most 128 characters (OCI distribution-spec, "Pulling manifests"). */
export const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const MAX_REPOSITORY_LENGTH = 255;
/** The tag that clients use by default. */
export const DEFAULT_TAG = 'latest';
/** The tag of the deltas between a repository's images; not that of an image (flatpak-oci-specs, image-deltas.md). */
export const DELTA_INDEX_TAG = '_deltaindex';

/** Says whether `text` is a valid name of a repository; at most 255 characters. */
export function isRepositoryName(text: unknown): text is string {
  return typeof text === 'string' && text.length <= MAX_REPOSITORY_LENGTH && REPOSITORY.test(text);
}

/** Says whether `text` is a valid tag; at most 128 characters. */
export function isTag(text: unknown): text is string {
  return typeof text === 'string' && TAG.test(text);
}

/** Parses `REPOSITORY[:TAG]`; `undefined` if it is not valid. */
export function parseReference(
  text: string,
): { readonly repository: string; readonly tag: string | undefined } | undefined {
  const [, repository = '', tag] = /^([^:]*)(?::(.*))?$/s.exec(text) ?? [];
  return isRepositoryName(repository) && (tag === undefined || isTag(tag)) ? { repository, tag } : undefined;
}
