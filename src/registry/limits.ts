/** The most bytes that are read of one document. */

/** Of a manifest or an image index; registries accept no larger ones. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** Of an image config, whose labels hold icons and appdata. */
export const MAX_CONFIG_BYTES = 16 * 1024 * 1024;
