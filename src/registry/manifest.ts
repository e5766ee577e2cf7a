/** What a manifest says, as far as an index needs it. */
import type { Digest } from './digest.ts';

/** A reference to content by digest (OCI image-spec, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** One image for one platform. */
export interface ImageManifest extends Descriptor {
  readonly kind: 'image';
  readonly config: Descriptor;
  /** Empty for Docker schema 2, which has none. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** An image index or manifest list: images in the order in which it names them; children that cannot be images are left out. */
export interface ImageIndexManifest extends Descriptor {
  readonly kind: 'index';
  readonly manifests: readonly Descriptor[];
  /** What is wrong with children that cannot be read; absent if nothing is. */
  readonly faults?: readonly string[];
}

/** A manifest that is no image: a signature, an attestation, a chart, Docker schema 1. */
export interface ArtifactManifest extends Descriptor {
  readonly kind: 'artifact';
}

export type Manifest = ImageManifest | ImageIndexManifest | ArtifactManifest;

/** The part of an image config that an index shows (OCI image-spec, config.md). */
export interface ImageConfig {
  readonly os: string;
  readonly architecture: string;
  readonly labels: Readonly<Record<string, string>>;
}
