/** One OCI image layout: its tags, manifests and blobs, read from disk each time. */
import { join, posix } from 'node:path';
import { Readable } from 'node:stream';
import { digestAlgorithm, digestOf, isDigest, matchesDigest, type Digest } from '../digest.ts';
import { malformed, optionalArray, parseJsonObject, stringRecord } from '../json-object.ts';
import { MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES } from '../limits.ts';
import type { Descriptor, ImageConfig, Manifest } from '../manifest.ts';
import { IMAGE_MANIFEST_TYPES, OCI_IMAGE_INDEX } from '../media-types.ts';
import { descriptorObject, parseDescriptor } from '../parse-descriptor.ts';
import { parseImageConfig } from '../parse-image-config.ts';
import { manifestMediaType, parseManifest } from '../parse-manifest.ts';
import { DEFAULT_TAG, isTag } from '../reference.ts';
import { locateErrors, RegistryError } from '../registry-error.ts';
import type { CheckedBlobs } from './checked-blobs.ts';
import type { ContainedFolder } from './contained-folder.ts';
import { INDEX_FILE } from './find-layouts.ts';

const CHUNK_BYTES = 256 * 1024;
/** The annotation that names a manifest's tag (OCI image-spec, annotations.md). */
const REF_NAME = 'org.opencontainers.image.ref.name';

type Platform = Pick<ImageConfig, 'os' | 'architecture'>;

/** A child of an image index; its platform is `undefined` if it is not known. */
interface IndexedManifest extends Descriptor {
  readonly platform: Platform | undefined;
}

/** A manifest's bytes and their descriptor. */
export interface StoredManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

/** A blob of any size, whose digest was checked. */
export interface StoredBlob {
  /** The size in bytes. */
  readonly size: number;
  /** Streams the bytes from `start` to `end`, counted from 0 and both included; all bytes by default. */
  stream(start?: number, end?: number): Readable;
}

/** Reads one image layout. All methods throw a RegistryError. */
export class Layout {
  readonly #folder: ContainedFolder;
  readonly #path: string;
  readonly #checked: CheckedBlobs;

  /** @param path of the layout, relative to `folder` */
  constructor(folder: ContainedFolder, path: string, checked: CheckedBlobs) {
    this.#folder = folder;
    this.#path = path;
    this.#checked = checked;
  }

  /** The tags in code point order. */
  async tags(): Promise<readonly string[]> {
    return [...(await this.#tags()).keys()].toSorted();
  }

  /** The bytes of the manifest that a tag or digest names, checked against its digest. */
  async open(reference: string): Promise<StoredManifest> {
    return isDigest(reference) ? this.#byDigest(reference) : this.#byTag(reference);
  }

  /** The descriptor that a tag points to. */
  async resolve(tag: string): Promise<Descriptor> {
    const named = await this.#named(tag);
    const [only] = named;
    return only !== undefined && named.length === 1 ? only : (await this.#indexOf(named)).descriptor;
  }

  /** The manifest that a tag or a digest names. */
  async manifest(reference: string): Promise<Manifest> {
    const { descriptor, bytes } = await this.open(reference);
    return this.#parse(bytes, descriptor);
  }

  /** The image config of a digest; `undefined` if it does not describe an image. */
  async config(digest: Digest): Promise<ImageConfig | undefined> {
    const bytes = await this.#read(digest, MAX_CONFIG_BYTES);
    return locateErrors(this.#where(digest), () => parseImageConfig(bytes));
  }

  /** The blob of a digest, to be streamed to a client. */
  async blob(digest: Digest): Promise<StoredBlob> {
    await using file = await this.#folder.open(join(this.#path, blobPath(digest)));
    if (!(await this.#checked.match(digest, file))) throw this.#mismatch(digest);
    const { size, identity } = file;
    return {
      size,
      stream: (start = 0, end = size - 1) =>
        Readable.from(this.#chunks(digest, identity, start, end), { objectMode: false }),
    };
  }

  /** A part of a blob; fails if its file has changed since it was checked. */
  async *#chunks(digest: Digest, identity: string, start: number, end: number): AsyncGenerator<Buffer> {
    await using file = await this.#folder.open(join(this.#path, blobPath(digest)));
    if (file.identity !== identity)
      throw new RegistryError('unavailable', `${this.#where(digest)}: the file has changed since it was asked for`);
    if (end < start) return;
    for await (const chunk of file.handle.createReadStream({
      start,
      end,
      autoClose: false,
      highWaterMark: CHUNK_BYTES,
    }))
      yield chunk as Buffer;
  }

  async #tags(): Promise<ReadonlyMap<string, readonly Descriptor[]>> {
    const bytes = await this.#folder.read(join(this.#path, INDEX_FILE), MAX_MANIFEST_BYTES);
    return locateErrors(join(this.#folder.path, this.#path, INDEX_FILE), () => parseLayoutTags(bytes));
  }

  async #named(tag: string): Promise<readonly Descriptor[]> {
    const named = (await this.#tags()).get(tag);
    if (named === undefined)
      throw new RegistryError(
        'not-found',
        `${join(this.#folder.path, this.#path)}: there is no tag ${JSON.stringify(tag)}`,
      );
    return named;
  }

  async #byTag(tag: string): Promise<StoredManifest> {
    const named = await this.#named(tag);
    const [only] = named;
    if (only === undefined || named.length > 1) return this.#indexOf(named);
    const bytes = await this.#read(only.digest, MAX_MANIFEST_BYTES);
    return { descriptor: { ...only, size: bytes.length }, bytes };
  }

  async #byDigest(digest: Digest): Promise<StoredManifest> {
    const tags = await this.#tags();
    let bytes: Buffer;
    try {
      bytes = await this.#read(digest, MAX_MANIFEST_BYTES);
    } catch (error) {
      if (!(error instanceof RegistryError) || error.code !== 'not-found') throw error;
      return this.#madeIndex(tags, digest, error);
    }
    const named = [...tags.values()].flat().find((descriptor) => descriptor.digest === digest);
    const mediaType = named?.mediaType ?? manifestMediaType(bytes);
    if (mediaType === undefined)
      throw new RegistryError('not-found', `${this.#where(digest)}: this blob is not a manifest`);
    return { descriptor: { mediaType, digest, size: bytes.length }, bytes };
  }

  /** The image index with this digest among those that are generated for tags of several manifests. */
  async #madeIndex(
    tags: ReadonlyMap<string, readonly Descriptor[]>,
    digest: Digest,
    notFound: RegistryError,
  ): Promise<StoredManifest> {
    for (const named of tags.values()) {
      if (named.length < 2) continue;
      const index = await this.#indexOf(named);
      if (index.descriptor.digest === digest) return index;
    }
    throw notFound;
  }

  async #indexOf(named: readonly Descriptor[]): Promise<StoredManifest> {
    return imageIndexOf(
      await Promise.all(
        named.map(async (descriptor) => ({ ...descriptor, platform: await this.#platformOf(descriptor) })),
      ),
    );
  }

  /** The platform of an image; `undefined` if the descriptor is not that of an image, or it cannot be read. */
  async #platformOf({ mediaType, digest }: Descriptor): Promise<Platform | undefined> {
    if (!IMAGE_MANIFEST_TYPES.has(mediaType)) return undefined;
    try {
      const manifest = this.#parse(await this.#read(digest, MAX_MANIFEST_BYTES), { mediaType, digest });
      return manifest.kind === 'image' ? await this.config(manifest.config.digest) : undefined;
    } catch (error) {
      // Reading this image itself reports the error, which must not hide the others of the index.
      if (error instanceof RegistryError) return undefined;
      throw error;
    }
  }

  #parse(bytes: Buffer, origin: Pick<Descriptor, 'mediaType' | 'digest'>): Manifest {
    return locateErrors(this.#where(origin.digest), () => parseManifest(bytes, origin));
  }

  async #read(digest: Digest, limit: number): Promise<Buffer> {
    const bytes = await this.#folder.read(join(this.#path, blobPath(digest)), limit);
    if (!matchesDigest(bytes, digest)) throw this.#mismatch(digest);
    return bytes;
  }

  #mismatch(digest: Digest): RegistryError {
    return new RegistryError('digest-mismatch', `${this.#where(digest)}: the bytes of this file do not match its name`);
  }

  #where(digest: Digest): string {
    return join(this.#folder.path, this.#path, blobPath(digest));
  }
}

/**
 * Reads index.json (OCI image-spec, image-layout.md, "index.json file"): the descriptors of each tag, each digest once,
 * sorted by digest.
 * @throws RegistryError `malformed` if the file does not have the specification's shape.
 */
export function parseLayoutTags(bytes: Uint8Array): ReadonlyMap<string, readonly Descriptor[]> {
  const document = parseJsonObject(bytes);
  if (!Array.isArray(document.manifests)) throw malformed('manifests', 'an array');
  const tags = new Map<string, Descriptor[]>();
  for (const [position, value] of optionalArray(document.manifests, 'manifests').entries()) {
    const path = `manifests[${position}]`;
    const descriptor = parseDescriptor(value, path);
    const name = stringRecord(descriptorObject(value, path).annotations, `${path}.annotations`)[REF_NAME];
    // Flatpak names its bundles `app/ID/ARCH/BRANCH`, which is not a valid tag.
    const tag = isTag(name) ? name : DEFAULT_TAG;
    const named = tags.get(tag) ?? [];
    if (!named.some(({ digest }) => digest === descriptor.digest)) named.push(descriptor);
    tags.set(tag, named);
  }
  for (const named of tags.values()) named.sort((a, b) => (a.digest < b.digest ? -1 : 1));
  return tags;
}

/**
 * An image index of `manifests` in their order (OCI image-spec, image-index.md); the same manifests give the same
 * bytes.
 */
function imageIndexOf(manifests: readonly IndexedManifest[]): StoredManifest {
  const children = manifests.map(({ mediaType, digest, size, platform }) => ({
    mediaType,
    digest,
    size,
    ...(platform ? { platform: { architecture: platform.architecture, os: platform.os } } : {}),
  }));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_IMAGE_INDEX, manifests: children }));
  return { descriptor: { mediaType: OCI_IMAGE_INDEX, digest: digestOf(bytes), size: bytes.length }, bytes };
}

/** The path of a blob relative to its layout (OCI image-spec, image-layout.md, "Blobs"). */
function blobPath(digest: Digest): string {
  const algorithm = digestAlgorithm(digest);
  return posix.join('blobs', algorithm, digest.slice(algorithm.length + 1));
}
