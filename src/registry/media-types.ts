/**
 * The media types of manifests and image configs that an index can hold (OCI image-spec, media-types.md; Docker schema
 * 2).
 */

/** One image for one platform. */
export const IMAGE_MANIFEST_TYPES: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
]);

/** Several images: an OCI image index or a Docker manifest list. */
export const IMAGE_INDEX_TYPES: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
]);

/** Configs of images; a manifest with another config is an artifact. */
export const IMAGE_CONFIG_TYPES: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]);

/** The one type of image manifest that has annotations; Docker schema 2 has none. */
export const OCI_IMAGE_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
/** The type of image indexes that are generated for layouts. */
export const OCI_IMAGE_INDEX = 'application/vnd.oci.image.index.v1+json';

/**
 * The `Accept` of manifest requests. It names all types, because a registry may convert a manifest
 * that the client does not accept, which changes its digest.
 */
export const MANIFEST_ACCEPT: string = [...IMAGE_MANIFEST_TYPES, ...IMAGE_INDEX_TYPES].join(', ');
