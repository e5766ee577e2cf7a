/** Images as files below `v2/`, where Flatpak asks for them by digest (OCI distribution-spec, "Pull"). */
import { createHash } from 'node:crypto';
import pMap from 'p-map';
import { digestAlgorithm, matchesDigest } from '../registry/digest.ts';
import { optionalArray, parseJsonObject } from '../registry/json-object.ts';
import type { Descriptor } from '../registry/manifest.ts';
import { parseDescriptor } from '../registry/parse-descriptor.ts';
import { locateErrors, RegistryError } from '../registry/registry-error.ts';
import type { ImageSource } from '../registry/registry-source.ts';
import type { ExportFolder } from './export-folder.ts';
import type { TaggedImage } from './tagged-index.ts';

/** Images that are copied at the same time, and attempts to read a blob whose connection breaks. */
const IMAGES_AT_ONCE = 4;
const ATTEMPTS = 3;

/** An image and where it is read. */
export interface SourceImage extends TaggedImage {
  readonly source: ImageSource;
}

/** Options of {@link copyImages}. */
export interface CopyOptions {
  readonly onProgress: (done: number, total: number) => void;
  readonly signal: AbortSignal;
}

/**
 * Copies images into a folder; asks for nothing that is there.
 * @returns repositories with a manifest that does not say its media type, so that the host must send it
 * @throws RegistryError
 */
export async function copyImages(
  folder: ExportFolder,
  images: readonly SourceImage[],
  { onProgress, signal }: CopyOptions,
): Promise<readonly string[]> {
  const distinct = [...new Map(images.map((image) => [`${image.repository}@${image.digest}`, image])).values()];
  const untyped = new Set<string>();
  let done = 0;
  await pMap(
    distinct,
    async (image) => {
      if (!(await copyImage(folder, image, signal))) untyped.add(image.repository);
      onProgress(++done, distinct.length);
    },
    { concurrency: IMAGES_AT_ONCE, signal },
  );
  return [...untyped].toSorted();
}

/** Copies one image, its manifest last; returns whether the manifest says its own media type. */
async function copyImage(folder: ExportFolder, image: SourceImage, signal: AbortSignal): Promise<boolean> {
  const { repository, digest, source } = image;
  const path = `v2/${repository}/manifests/${digest}`;
  const there = await folder.read(path);
  const bytes =
    there !== undefined && matchesDigest(there, digest)
      ? there
      : (await source.openManifest(repository, digest, signal)).bytes;
  const { typed, blobs } = locateErrors(`${repository}@${digest}`, () => parseImage(bytes));
  for (const blob of blobs) await copyBlob(folder, image, blob, signal);
  await folder.write(path, bytes);
  return typed;
}

async function copyBlob(
  folder: ExportFolder,
  { repository, source }: SourceImage,
  blob: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await folder.writeOnce(`v2/${repository}/blobs/${blob.digest}`, blob.size, () => async (file) => {
        const stream = await source.readBlob(repository, blob.digest, signal);
        await file.writeFile(checked(stream, blob, `${repository}@${blob.digest}`), { signal });
      });
      return;
    } catch (error) {
      const broken = error instanceof RegistryError && error.code === 'unavailable';
      if (!broken || attempt === ATTEMPTS || signal.aborted) throw error;
    }
  }
}

/**
 * Yields the bytes of a stream.
 * @throws RegistryError if they are more than the descriptor says, or do not have its digest
 */
async function* checked(
  stream: AsyncIterable<Buffer>,
  { digest, size }: Descriptor,
  where: string,
): AsyncGenerator<Buffer> {
  const algorithm = digestAlgorithm(digest);
  const hash = createHash(algorithm);
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > size) throw new RegistryError('too-large', `${where}: the blob is larger than its ${size} bytes`);
    hash.update(chunk);
    yield chunk;
  }
  if (`${algorithm}:${hash.digest('hex')}` !== digest)
    throw new RegistryError('digest-mismatch', `${where}: the bytes received do not match the digest`);
}

/** Parses the parts of an image's manifest that a copy needs. */
function parseImage(bytes: Uint8Array): { readonly typed: boolean; readonly blobs: readonly Descriptor[] } {
  const { mediaType, config, layers } = parseJsonObject(bytes);
  const blobs = [
    parseDescriptor(config, 'config'),
    ...optionalArray(layers, 'layers').map((layer, position) => parseDescriptor(layer, `layers[${position}]`)),
  ];
  return { typed: mediaType !== undefined, blobs };
}
