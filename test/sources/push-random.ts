/** Fills a registry with made-up apps, over the Distribution API. */
import { gzipSync } from 'node:zlib';
import pMap from 'p-map';
import { Pool } from 'undici';
import type { Digest } from '../../src/registry/digest.ts';
import { digestOf } from '../../src/registry/digest.ts';
import type { Descriptor } from '../../src/registry/manifest.ts';
import { OCI_IMAGE_INDEX, OCI_IMAGE_MANIFEST } from '../../src/registry/media-types.ts';
import type { RandomApps } from './random-images.ts';
import { randomConfig, randomRepository } from './random-images.ts';

const CONCURRENCY = 16;

/** An empty tar: every image has this one layer. */
const LAYER = gzipSync(Buffer.alloc(1024));
const LAYER_DIFF_ID = digestOf(Buffer.alloc(1024));

/**
 * Pushes all of `apps`: of each, version 0 as the first tag, version 1 as the second, and so on, as `RandomRegistry`
 * has them.
 */
export async function pushRandom(registry: string, apps: RandomApps): Promise<void> {
  await using pool = new PushedRegistry(registry);
  await pMap(
    Array.from({ length: apps.repositories }, (_, number) => number),
    async (number) => {
      for (const [version, tag] of apps.tags.entries()) await pool.pushVersion(number, version, tag, apps);
    },
    { concurrency: CONCURRENCY },
  );
}

/** Pushes one version of app `number` as `tag`, in place of what the tag was; returns the digest of its image index. */
export async function pushRandomVersion(
  registry: string,
  number: number,
  version: number,
  tag: string,
  apps: Pick<RandomApps, 'architectures' | 'size'>,
): Promise<Digest> {
  await using pool = new PushedRegistry(registry);
  return await pool.pushVersion(number, version, tag, apps);
}

class PushedRegistry {
  readonly #pool: Pool;

  constructor(url: string) {
    this.#pool = new Pool(url, { connections: CONCURRENCY });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close();
  }

  async pushVersion(
    number: number,
    version: number,
    tag: string,
    { architectures, size }: Pick<RandomApps, 'architectures' | 'size'>,
  ): Promise<Digest> {
    const repository = randomRepository(number);
    const layer = {
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      ...(await this.#pushBlob(repository, LAYER)),
    };
    const manifests = [];
    for (const architecture of architectures) {
      const { os, labels } = randomConfig(number, version, architecture, size);
      const rootfs = { type: 'layers', diff_ids: [LAYER_DIFF_ID] };
      const blob = await this.#pushBlob(
        repository,
        Buffer.from(JSON.stringify({ os, architecture, rootfs, config: { Labels: labels } })),
      );
      const config = { mediaType: 'application/vnd.oci.image.config.v1+json', ...blob };
      const manifest = await this.#pushManifest(repository, undefined, OCI_IMAGE_MANIFEST, { config, layers: [layer] });
      manifests.push({ ...manifest, platform: { os, architecture } });
    }
    return (await this.#pushManifest(repository, tag, OCI_IMAGE_INDEX, { manifests })).digest;
  }

  async #pushManifest(
    repository: string,
    tag: string | undefined,
    mediaType: string,
    content: object,
  ): Promise<Descriptor> {
    const body = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...content }));
    const digest = digestOf(body);
    await this.#send('PUT', `/v2/${repository}/manifests/${tag ?? digest}`, 201, body, mediaType);
    return { mediaType, digest, size: body.length };
  }

  async #pushBlob(repository: string, body: Buffer): Promise<Pick<Descriptor, 'digest' | 'size'>> {
    const digest = digestOf(body);
    const { location } = await this.#send('POST', `/v2/${repository}/blobs/uploads/`, 202);
    const upload = new URL(String(location));
    upload.searchParams.set('digest', digest);
    await this.#send('PUT', upload.pathname + upload.search, 201, body, 'application/octet-stream');
    return { digest, size: body.length };
  }

  async #send(method: 'POST' | 'PUT', path: string, expected: number, body?: Buffer, contentType?: string) {
    const answer = await this.#pool.request({
      method,
      path,
      ...(body && { body }),
      headers: contentType === undefined ? {} : { 'content-type': contentType },
    });
    const text = await answer.body.text();
    if (answer.statusCode !== expected)
      throw new Error(`${method} ${path} was answered with ${answer.statusCode}: ${text}`);
    return answer.headers;
  }
}
