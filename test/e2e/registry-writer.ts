/** Pushes manifests of every kind to a registry, over the Distribution API: skopeo only copies what there is. */
import { request } from 'undici';
import { digestOf } from '../../src/registry/digest.ts';
import type { Descriptor } from '../../src/registry/manifest.ts';
import { OCI_IMAGE_INDEX, OCI_IMAGE_MANIFEST } from '../../src/registry/media-types.ts';

export const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';

/** What is written of an image. */
export interface WrittenImage {
  readonly os?: string;
  readonly architecture?: string;
  readonly labels?: Readonly<Record<string, string>> | null;
  /** No `annotations` at all in the manifest unless given. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A child of an image index. */
export type Child = Descriptor & {
  readonly platform?: { readonly os: string; readonly architecture: string };
  readonly annotations?: Readonly<Record<string, string>>;
};

export class RegistryWriter {
  readonly #url: string;

  /** @param url without a last `/` */
  constructor(url: string) {
    this.#url = url;
  }

  /** Pushes an image, with a tag or by its digest alone. */
  async image(
    repository: string,
    { os = 'linux', architecture = 'amd64', labels = {}, annotations }: WrittenImage,
    tag?: string,
  ): Promise<Child> {
    const config = await this.blob(
      repository,
      OCI_CONFIG,
      JSON.stringify({ os, architecture, config: { Labels: labels }, rootfs: { type: 'layers', diff_ids: [] } }),
    );
    const descriptor = await this.manifest(
      repository,
      OCI_IMAGE_MANIFEST,
      { config, layers: [], ...(annotations && { annotations }) },
      tag,
    );
    return { ...descriptor, platform: { os, architecture } };
  }

  async index(repository: string, manifests: readonly Child[], tag?: string): Promise<Descriptor> {
    return this.manifest(repository, OCI_IMAGE_INDEX, { manifests }, tag);
  }

  async manifest(repository: string, mediaType: string, content: object, tag?: string): Promise<Descriptor> {
    const body = JSON.stringify({ schemaVersion: 2, mediaType, ...content });
    const digest = digestOf(body);
    await this.#send('PUT', `${this.#url}/v2/${repository}/manifests/${tag ?? digest}`, 201, body, mediaType);
    return { mediaType, digest, size: Buffer.byteLength(body) };
  }

  async blob(repository: string, mediaType: string, content: string | Uint8Array): Promise<Descriptor> {
    const digest = digestOf(content);
    const upload = new URL(await this.#send('POST', `${this.#url}/v2/${repository}/blobs/uploads/`, 202));
    upload.searchParams.set('digest', digest);
    await this.#send('PUT', upload.href, 201, content, 'application/octet-stream');
    return { mediaType, digest, size: Buffer.byteLength(content) };
  }

  /** Returns the `Location` of the answer. */
  async #send(
    method: 'POST' | 'PUT',
    url: string,
    expected: number,
    body: string | Uint8Array = '',
    contentType = 'application/octet-stream',
  ): Promise<string> {
    const answer = await request(url, { method, body, headers: { 'content-type': contentType } });
    const text = await answer.body.text();
    if (answer.statusCode !== expected)
      throw new Error(`${method} ${url} was answered with ${answer.statusCode}: ${text}`);
    return String(answer.headers.location);
  }
}
