/** Where a blob is in an image layout (OCI image-spec, image-layout.md, "Blobs"). */
import { posix } from 'node:path';
import { digestAlgorithm, type Digest } from '../digest.ts';

/** Relative to the layout; nothing but the digest has a part in it. */
export function blobPath(digest: Digest): string {
  const algorithm = digestAlgorithm(digest);
  return posix.join('blobs', algorithm, digest.slice(algorithm.length + 1));
}
