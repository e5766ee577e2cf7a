/** The parts of manifests and image configs that an index needs. */
import type { Digest } from './digest.ts';

/** A reference to content by digest (OCI image-spec, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** The size in bytes. */
  readonly size: number;
}

/** The manifest of an image for one platform (OCI image-spec, manifest.md). */
export interface ImageManifest extends Descriptor {
  readonly kind: 'image';
  readonly config: Descriptor;
  /** Empty for Docker schema 2, which has none. */
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * An image index or manifest list (OCI image-spec, image-index.md): its images in their order, without children that
 * cannot be images.
 */
export interface ImageIndexManifest extends Descriptor {
  readonly kind: 'index';
  readonly manifests: readonly Descriptor[];
  /** Errors of children that cannot be read; absent if there are none. */
  readonly faults?: readonly string[];
}

/** A manifest that is not an image: a signature, an attestation, a chart, Docker schema 1. */
export interface ArtifactManifest extends Descriptor {
  readonly kind: 'artifact';
}

/** A manifest of any kind. */
export type Manifest = ImageManifest | ImageIndexManifest | ArtifactManifest;

/** The part of an image config that an index shows (OCI image-spec, config.md). */
export interface ImageConfig {
  readonly os: string;
  readonly architecture: string;
  readonly labels: Readonly<Record<string, string>>;
}
