/** Image indexes in a registry, which skopeo copies but cannot make. */
import { request } from 'undici';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';

export interface ImageOfIndex {
  readonly digest: string;
  /** GOARCH name of the architecture. */
  readonly architecture: string;
}

/**
 * Tags an image index of images that the repository already holds; returns its digest. `registry` is a URL without a
 * last `/`.
 */
export async function pushImageIndex(
  registry: string,
  repository: string,
  tag: string,
  images: readonly ImageOfIndex[],
): Promise<string> {
  const manifests = await Promise.all(
    images.map(async ({ digest, architecture }) => ({
      mediaType: MANIFEST,
      digest,
      size: await manifestSize(`${registry}/v2/${repository}/manifests/${digest}`),
      platform: { os: 'linux', architecture },
    })),
  );
  const { statusCode, headers, body } = await request(`${registry}/v2/${repository}/manifests/${tag}`, {
    method: 'PUT',
    headers: { 'content-type': INDEX },
    body: JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests }),
  });
  const answer = await body.text();
  const digest = headers['docker-content-digest'];
  if (statusCode !== 201 || typeof digest !== 'string')
    throw new Error(`${registry} refused the index ${repository}:${tag} with ${statusCode}: ${answer}`);
  return digest;
}

async function manifestSize(url: string): Promise<number> {
  const { statusCode, headers, body } = await request(url, { method: 'HEAD', headers: { accept: MANIFEST } });
  await body.dump();
  if (statusCode !== 200) throw new Error(`HEAD ${url} answered ${statusCode}`);
  return Number(headers['content-length']);
}
