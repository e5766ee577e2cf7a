/**
 * Reads manifests: OCI image manifests and image indexes, Docker schema 2 and manifest lists. All others are artifacts.
 */
import type { Digest } from './digest.ts';
import type { JsonObject } from '../system/is-json-object.ts';
import { malformed, optionalArray, optionalObject, parseJsonObject, stringRecord } from './json-object.ts';
import { MAX_INDEX_CHILDREN } from './limits.ts';
import type { Descriptor, ImageIndexManifest, Manifest } from './manifest.ts';
import {
  IMAGE_CONFIG_TYPES,
  IMAGE_INDEX_TYPES,
  IMAGE_MANIFEST_TYPES,
  OCI_IMAGE_INDEX,
  OCI_IMAGE_MANIFEST,
} from './media-types.ts';
import { descriptorMediaType, descriptorObject, parseDescriptor } from './parse-descriptor.ts';
import { RegistryError } from './registry-error.ts';

/** The announced media type and digest of a manifest. */
export interface ManifestOrigin {
  /** The announced media type, in lower case and without parameters; `undefined` if there is none. */
  readonly mediaType: string | undefined;
  readonly digest: Digest;
}

/**
 * Parses a manifest. It is an artifact if it is of none of the four types, if its `artifactType` is not that of an
 * image config, or if it has no image config.
 * @throws RegistryError `malformed` if it is not a manifest or does not have its type's shape; `too-large` if an index
 * has too many images.
 */
export function parseManifest(bytes: Uint8Array, { mediaType: declared, digest }: ManifestOrigin): Manifest {
  const document = parseJsonObject(bytes);
  const mediaType = mediaTypeOf(document, declared);
  const descriptor: Descriptor = { mediaType, digest, size: bytes.length };
  const isIndex = IMAGE_INDEX_TYPES.has(mediaType);
  if (!isIndex && !IMAGE_MANIFEST_TYPES.has(mediaType)) return { kind: 'artifact', ...descriptor };

  if (document.schemaVersion === 1) return { kind: 'artifact', ...descriptor };
  if (document.schemaVersion !== 2) throw malformed('schemaVersion', '2');
  refuseAmbiguity(document, isIndex);
  if (isArtifact(document)) return { kind: 'artifact', ...descriptor };
  if (isIndex) return { kind: 'index', ...descriptor, ...imagesOf(document) };

  const config = imageConfigOf(document);
  if (config === undefined) return { kind: 'artifact', ...descriptor };
  const annotations = mediaType === OCI_IMAGE_MANIFEST ? stringRecord(document.annotations, 'annotations') : {};
  return { kind: 'image', ...descriptor, config, annotations };
}

/** The media type that a manifest's bytes declare or show; `undefined` if they are not a manifest. */
export function manifestMediaType(bytes: Uint8Array): string | undefined {
  try {
    return mediaTypeOf(parseJsonObject(bytes), undefined);
  } catch (error) {
    if (error instanceof RegistryError) return undefined;
    throw error;
  }
}

/**
 * The media type; header and body must agree (OCI image-spec, manifest.md, "mediaType"). A generic type in the header,
 * as of proxies and file servers, is ignored; without a type, the shape decides.
 */
function mediaTypeOf(document: JsonObject, declared: string | undefined): string {
  const { mediaType } = document;
  if (mediaType !== undefined && typeof mediaType !== 'string') throw malformed('mediaType', 'a media type');
  const own = mediaType?.toLowerCase() || undefined;
  const named = declared === undefined || isGeneric(declared) ? undefined : declared;
  if (own !== undefined && named !== undefined && own !== named)
    throw malformed('mediaType', `${named}, as the manifest was announced`);
  return own ?? named ?? shapeOf(document);
}

function isGeneric(mediaType: string): boolean {
  return mediaType === 'application/json' || mediaType === 'application/octet-stream' || mediaType.startsWith('text/');
}

function shapeOf({ schemaVersion, config, layers, manifests }: JsonObject): string {
  if (schemaVersion === 1) return 'application/vnd.docker.distribution.manifest.v1+json';
  if (config !== undefined && layers !== undefined) return OCI_IMAGE_MANIFEST;
  if (manifests !== undefined) return OCI_IMAGE_INDEX;
  // Other JSON may be an error with status 200: as an artifact it would make the image vanish.
  throw malformed('mediaType', 'a manifest');
}

/** Rejects a document that is both image and index, which clients may read differently (CVE-2021-41190). */
function refuseAmbiguity({ config, layers, manifests }: JsonObject, isIndex: boolean): void {
  if (isIndex && config !== undefined) throw malformed('config', 'none in an image index');
  if (isIndex && layers !== undefined) throw malformed('layers', 'none in an image index');
  if (!isIndex && manifests !== undefined) throw malformed('manifests', 'none in an image manifest');
}

/** Says whether `artifactType` means an artifact. Builders may set it to the config's media type for an image. */
function isArtifact({ artifactType }: JsonObject): boolean {
  if (artifactType === undefined || artifactType === null || artifactType === '') return false;
  return typeof artifactType !== 'string' || !IMAGE_CONFIG_TYPES.has(artifactType.toLowerCase());
}

/** The children that may be images, each digest once. A malformed child does not hide the others. */
function imagesOf(document: JsonObject): Pick<ImageIndexManifest, 'manifests' | 'faults'> {
  const images = new Map<Digest, Descriptor>();
  const faults: string[] = [];
  for (const [position, value] of optionalArray(document.manifests, 'manifests').entries()) {
    try {
      const descriptor = imageAt(value, `manifests[${position}]`);
      if (descriptor !== undefined && !images.has(descriptor.digest)) images.set(descriptor.digest, descriptor);
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      faults.push(error.message);
    }
    if (images.size + faults.length > MAX_INDEX_CHILDREN)
      throw new RegistryError('too-large', `manifests: more than ${MAX_INDEX_CHILDREN} images in one image index`);
  }
  return { manifests: [...images.values()], ...(faults.length > 0 && { faults }) };
}

/** The child at `path`; `undefined` if it cannot be an image. */
function imageAt(value: unknown, path: string): Descriptor | undefined {
  const child = descriptorObject(value, path);
  const mediaType = descriptorMediaType(child, path);
  if (!IMAGE_MANIFEST_TYPES.has(mediaType) && !IMAGE_INDEX_TYPES.has(mediaType)) return undefined;
  if (isArtifact(child) || isUnknownPlatform(optionalObject(child.platform, `${path}.platform`))) return undefined;
  return parseDescriptor(child, path);
}

/** Recognises the attestations that BuildKit adds to an index. */
function isUnknownPlatform({ os, architecture }: JsonObject): boolean {
  return os === 'unknown' && architecture === 'unknown';
}

/** The config's descriptor; `undefined` if it does not describe an image. */
function imageConfigOf(document: JsonObject): Descriptor | undefined {
  if (document.config === undefined || document.config === null) return undefined;
  const config = descriptorObject(document.config, 'config');
  return IMAGE_CONFIG_TYPES.has(descriptorMediaType(config, 'config')) ? parseDescriptor(config, 'config') : undefined;
}
