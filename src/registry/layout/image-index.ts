/** Makes an image index of several manifests (OCI image-spec, image-index.md). */
import { digestOf } from '../digest.ts';
import type { Descriptor, ImageConfig } from '../manifest.ts';
import { OCI_IMAGE_INDEX } from '../media-types.ts';

export type Platform = Pick<ImageConfig, 'os' | 'architecture'>;

/** A child of an image index; without a platform where that is not known. */
export interface IndexedManifest extends Descriptor {
  readonly platform?: Platform | undefined;
}

/** The image index of `manifests`, in their order: the same ones give the same bytes. */
export function imageIndexOf(manifests: readonly IndexedManifest[]): { readonly descriptor: Descriptor; readonly bytes: Buffer } {
  const children = manifests.map(({ mediaType, digest, size, platform }) => ({
    mediaType,
    digest,
    size,
    ...(platform ? { platform: { architecture: platform.architecture, os: platform.os } } : {}),
  }));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_IMAGE_INDEX, manifests: children }));
  return { descriptor: { mediaType: OCI_IMAGE_INDEX, digest: digestOf(bytes), size: bytes.length }, bytes };
}
