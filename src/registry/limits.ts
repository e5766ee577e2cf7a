/** The most that is read of one document. */

/** Bytes of a manifest or an image index; registries accept no larger ones. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** Images and nested indexes of an image index. */
export const MAX_INDEX_CHILDREN = 1000;

/** Bytes of an image config, whose labels hold icons and appdata. */
export const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

/** A config that announces more bytes is large, and may take much memory; one that announces fewer has no more. */
export const LARGE_CONFIG_BYTES = 1024 * 1024;
