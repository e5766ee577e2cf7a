/**
 * Digests of content, as the OCI image specification writes them
 * (descriptor.md, "Digests"): `algorithm:hex`.
 */
import { hash } from 'node:crypto';

declare const digestBrand: unique symbol;

/** A digest of valid form: `sha256:` and 64, or `sha512:` and 128 lowercase hexadecimal digits. */
export type Digest = string & { readonly [digestBrand]: true };

/** The algorithms that the image specification registers. */
export type DigestAlgorithm = 'sha256' | 'sha512';

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** Says whether `text` is a digest of a supported algorithm. */
export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && DIGEST.test(text);
}

/** The algorithm of a digest. */
export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The digest of `content`. */
export function digestOf(content: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${hash(algorithm, content)}` as Digest;
}

/** Says whether `content` has this digest. */
export function matchesDigest(content: Uint8Array, digest: Digest): boolean {
  return digestOf(content, digestAlgorithm(digest)) === digest;
}
