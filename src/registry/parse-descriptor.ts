/** Reads descriptors (OCI image-spec, descriptor.md). */
import { isDigest } from './digest.ts';
import { isJsonObject, type JsonObject } from '../system/is-json-object.ts';
import { malformed } from './json-object.ts';
import type { Descriptor } from './manifest.ts';

/**
 * The descriptor at `path` of a document.
 * @throws RegistryError `malformed` if it is not a descriptor, or its digest's algorithm is not supported.
 */
export function parseDescriptor(value: unknown, path: string): Descriptor {
  const object = descriptorObject(value, path);
  const { digest, size } = object;
  const mediaType = descriptorMediaType(object, path);
  if (!isDigest(digest)) throw malformed(`${path}.digest`, 'a sha256 or sha512 digest');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw malformed(`${path}.size`, 'a number of bytes');
  return { mediaType, digest, size };
}

/**
 * The descriptor at `path` as an unchecked object.
 * @throws RegistryError `malformed` if it is not an object.
 */
export function descriptorObject(value: unknown, path: string): JsonObject {
  if (!isJsonObject(value)) throw malformed(path, 'a descriptor');
  return value;
}

/**
 * The media type of the descriptor at `path`, in lower case.
 * @throws RegistryError `malformed` if it is not a string.
 */
export function descriptorMediaType({ mediaType }: JsonObject, path: string): string {
  if (typeof mediaType !== 'string') throw malformed(`${path}.mediaType`, 'a media type');
  return mediaType.toLowerCase();
}
