/** Finds the one layer of an image, of which deltas can be made. */
import type { Digest } from '../registry/digest.ts';
import { isDigest } from '../registry/digest.ts';
import { malformed, optionalArray, optionalObject, parseJsonObject } from '../registry/json-object.ts';
import type { Descriptor } from '../registry/manifest.ts';
import { parseDescriptor } from '../registry/parse-descriptor.ts';
import { DeltaError } from './delta-error.ts';

/** The layer of an image with one layer. */
export interface ImageLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
}

/**
 * Reads the layer from the bytes of a manifest and of its config.
 * @param name of the image, for messages
 * @throws DeltaError `unsupported` if the image has not exactly one layer; RegistryError `malformed` if they do not have
 * the specification's shape
 */
export function parseImageLayer(manifest: Uint8Array, config: Uint8Array, name: string): ImageLayer {
  const layers = optionalArray(parseJsonObject(manifest).layers, 'layers');
  const diffIds = optionalArray(optionalObject(parseJsonObject(config).rootfs, 'rootfs').diff_ids, 'rootfs.diff_ids');
  // Flatpak applies deltas to such images alone.
  if (layers.length !== 1 || diffIds.length !== 1)
    throw new DeltaError('unsupported', `${name}: has ${layers.length} layers, and deltas are for images with one`);
  const [diffId] = diffIds;
  if (!isDigest(diffId)) throw malformed('rootfs.diff_ids[0]', 'a sha256 or sha512 digest');
  return { descriptor: parseDescriptor(layers[0], 'layers[0]'), diffId };
}
