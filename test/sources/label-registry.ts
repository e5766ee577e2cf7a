/** A registry over HTTP of images that are their labels: the least of the Distribution API that reading it takes. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Digest } from '../../src/registry/digest.ts';
import { digestOf } from '../../src/registry/digest.ts';
import { OCI_IMAGE_MANIFEST } from '../../src/registry/media-types.ts';

const CONFIG = 'application/vnd.oci.image.config.v1+json';

export interface LabelledImage {
  /** `latest` if absent. */
  readonly tag?: string;
  /** `amd64` if absent. */
  readonly architecture?: string;
  readonly labels: Readonly<Record<string, string>>;
}

export class LabelRegistry implements AsyncDisposable {
  /** Without a last `/`. */
  readonly url: string;
  /** `METHOD PATH` of each request. */
  readonly requests: string[] = [];
  readonly #tags = new Map<string, Map<string, Digest>>();
  readonly #blobs = new Map<string, { readonly mediaType: string; readonly body: string }>();
  readonly #broken = new Set<string>();
  #held: Promise<void> | undefined;
  #awaited: (() => void) | undefined;
  readonly #close: () => Promise<void>;

  private constructor(url: string, close: () => Promise<void>) {
    this.url = url;
    this.#close = close;
  }

  static async start(): Promise<LabelRegistry> {
    const server = createServer((request, response) => {
      registry.requests.push(`${request.method} ${request.url}`);
      void registry.#answer(request.url ?? '', response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const registry = new LabelRegistry(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    });
    return registry;
  }

  push(repository: string, { tag = 'latest', architecture = 'amd64', labels }: LabelledImage): void {
    const config = this.#keep(CONFIG, { os: 'linux', architecture, config: { Labels: labels } });
    const manifest = this.#keep(OCI_IMAGE_MANIFEST, {
      schemaVersion: 2,
      mediaType: OCI_IMAGE_MANIFEST,
      config,
      layers: [],
    });
    const tags = this.#tags.get(repository) ?? new Map();
    this.#tags.set(repository, tags.set(tag, manifest.digest));
  }

  /** Deletes all tags of a repository, which stays in the list. */
  delete(repository: string): void {
    this.#tags.set(repository, new Map());
  }

  /** Loses all manifests and configs so far; the tags stay. */
  lose(): void {
    this.#blobs.clear();
  }

  /** From now on, this repository's tags cannot be read. */
  break(repository: string): void {
    this.#broken.add(repository);
  }

  /** From now on, they can be read again. */
  mend(repository: string): void {
    this.#broken.delete(repository);
  }

  /** Answers about tags wait from now on; returns what lets them go on. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held = promise;
    return () => {
      this.#held = undefined;
      resolve();
    };
  }

  /** Resolves when it is asked for anything. */
  asked(): Promise<void> {
    return new Promise((resolve) => (this.#awaited = resolve));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }

  #keep(mediaType: string, content: object): { mediaType: string; digest: Digest; size: number } {
    const body = JSON.stringify(content);
    const digest = digestOf(body);
    this.#blobs.set(digest, { mediaType, body });
    return { mediaType, digest, size: Buffer.byteLength(body) };
  }

  async #answer(url: string, response: ServerResponse): Promise<void> {
    this.#awaited?.();
    if (url.startsWith('/v2/_catalog')) return send(response, 200, { repositories: [...this.#tags.keys()].toSorted() });
    const [, repository = '', kind, reference = ''] = /^\/v2\/(.+)\/(tags|manifests|blobs)\/([^?]+)/.exec(url) ?? [];
    const tags = this.#tags.get(repository);
    if (tags === undefined) return send(response, 404, {});
    if (kind === 'tags') {
      await this.#held;
      return this.#broken.has(repository)
        ? send(response, 403, { errors: [{ code: 'DENIED', message: 'not for you' }] })
        : send(response, 200, { name: repository, tags: [...tags.keys()] });
    }
    const digest = tags.get(reference) ?? reference;
    const blob = this.#blobs.get(digest);
    if (blob === undefined) return send(response, 404, {});
    response.writeHead(200, {
      'content-type': blob.mediaType,
      'docker-content-digest': digest,
      'content-length': Buffer.byteLength(blob.body),
    });
    response.end(blob.body);
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
