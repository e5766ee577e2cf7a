/** Deltas as an app's page tells of them. */
import type { Digest } from '../../registry/digest.ts';
import { type BlobReader, readWholeBlob } from '../../store/blobs.ts';
import type { AppUpdate } from '../appdata/app-details.ts';
import { namedDeltas } from './delta-manifest.ts';

/**
 * Reads the deltas that a manifest of them names; none if it is missing or damaged.
 * @throws StoreError
 */
export async function readAppUpdates(blobs: BlobReader, manifest: Digest): Promise<readonly AppUpdate[]> {
  const bytes = await readWholeBlob(blobs, { kind: 'delta-manifest', digest: manifest });
  return bytes === undefined ? [] : namedDeltas(bytes).map(({ version, size }) => ({ from: version, size }));
}
