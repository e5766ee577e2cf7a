/** Limits for documents of registries. */

/**
 * The most bytes of a manifest or image index; registries do not accept larger ones (OCI distribution-spec, "Pushing
 * Manifests").
 */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** The most images and nested indexes of an image index. */
export const MAX_INDEX_CHILDREN = 1000;

/** The most bytes of an image config, whose labels hold icons and appdata. */
export const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

/** Bytes above which a config is large; a config whose descriptor says less is read only up to this. */
export const LARGE_CONFIG_BYTES = 1024 * 1024;
