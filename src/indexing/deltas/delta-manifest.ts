/** The manifest of an image's deltas, where Flatpak looks for one (flatpak-oci-specs, image-deltas.md). */
import { digestOf, type Digest } from '../../registry/digest.ts';
import { OCI_IMAGE_MANIFEST } from '../../registry/media-types.ts';
import { type BlobReader, readBlob, readWholeBlob } from '../../store/blobs.ts';
import type { MadeDelta } from '../../store/deltas.ts';
import { contentPath, digestOfContentPath } from '../content-path.ts';
import type { DeltaDefinition } from '../index-definition.ts';

/** Label of an image that leads to the manifest of its deltas. */
export const DELTA_URL = 'io.github.containers.DeltaUrl';
const ANNOTATION = 'io.github.containers.delta';
/** Annotations of this program, for its pages: the version that a delta leads from, and the size of the layer. */
const FROM_VERSION = 'regindexer.from.version';
const LAYER_SIZE = 'regindexer.layer.size';
/** A config that nobody reads, but that a manifest must have (OCI image-spec, "Guidance for an Empty Descriptor"). */
const EMPTY_CONFIG = {
  mediaType: 'application/vnd.oci.empty.v1+json',
  digest: digestOf('{}'),
  size: 2,
};

/** Path of the deltas on this server. */
export const DELTAS_PATH = '/deltas/';

/** Returns the path of the manifest of deltas, below that of the deltas. */
export function deltaManifestPath(manifest: Digest): string {
  return contentPath(manifest, 'json');
}

/** Returns the digest of the manifest of deltas that {@link DELTA_URL} leads to; `undefined` if it leads elsewhere. */
export function deltaManifestAt(url: string | undefined): Digest | undefined {
  return url === undefined ? undefined : digestOfContentPath(url.split('/').slice(-2).join('/'), 'json');
}

/** Returns the path of a delta, below that of the deltas. */
export function deltaPath(delta: Digest): string {
  return contentPath(delta, 'tardiff');
}

/**
 * Returns the manifest of the deltas that lead to an image.
 * @param image digest of its manifest
 */
export function deltaManifest(
  image: Digest,
  deltas: readonly MadeDelta[],
  { url, mediaType }: DeltaDefinition,
): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_IMAGE_MANIFEST,
      config: EMPTY_CONFIG,
      layers: deltas.map(({ digest, size, from, to, version, layerSize }) => ({
        mediaType,
        digest,
        size,
        ...(url !== undefined && { urls: [url + deltaPath(digest)] }),
        annotations: {
          [`${ANNOTATION}.from`]: from,
          [`${ANNOTATION}.to`]: to,
          [FROM_VERSION]: version,
          [LAYER_SIZE]: String(layerSize),
        },
      })),
      annotations: { [`${ANNOTATION}.target`]: image },
    }),
  );
}

/** A delta that a manifest names. Sizes are in bytes. */
export interface NamedDelta {
  readonly digest: Digest;
  readonly size: number;
  /** Size of the layer that it saves. */
  readonly layerSize: number;
  /** Version that it leads from; empty if unknown. */
  readonly version: string;
}

/**
 * Reads the deltas that a manifest names; none if it is missing or damaged.
 * @throws StoreError
 */
export async function readNamedDeltas(blobs: BlobReader, digest: Digest): Promise<readonly NamedDelta[]> {
  const manifest = await readWholeBlob(blobs, { kind: 'delta-manifest', digest });
  return manifest === undefined ? [] : namedDeltas(manifest);
}

/**
 * Streams a delta.
 * @throws StoreError; BlobMissing
 */
export function streamDelta(
  blobs: BlobReader,
  { digest, size }: Pick<NamedDelta, 'digest' | 'size'>,
): AsyncIterable<Buffer> {
  return readBlob(blobs, { kind: 'delta', digest }, 0, size - 1);
}

/** Returns the deltas that a manifest made by {@link deltaManifest} names. */
export function namedDeltas(manifest: Buffer): readonly NamedDelta[] {
  const { layers } = JSON.parse(manifest.toString()) as {
    readonly layers: readonly {
      readonly digest: Digest;
      readonly size: number;
      readonly annotations: Readonly<Record<string, string>>;
    }[];
  };
  return layers.map(({ digest, size, annotations }) => ({
    digest,
    size,
    layerSize: Number(annotations[LAYER_SIZE]),
    version: annotations[FROM_VERSION] ?? '',
  }));
}
