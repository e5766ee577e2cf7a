/** A registry of made-up apps that holds nothing in memory: for large catalogs without a registry. */
import type { Digest } from '../../src/registry/digest.ts';
import { digestOf } from '../../src/registry/digest.ts';
import type { Descriptor, ImageConfig, Manifest } from '../../src/registry/manifest.ts';
import { OCI_IMAGE_INDEX, OCI_IMAGE_MANIFEST } from '../../src/registry/media-types.ts';
import { RegistryError } from '../../src/registry/registry-error.ts';
import type { RegistrySource } from '../../src/registry/registry-source.ts';
import type { RandomApps } from './random-images.ts';
import { randomConfig, randomRepository } from './random-images.ts';

export interface RandomRegistryOptions extends RandomApps {
  /** `http://random.example.org` if absent. */
  readonly id?: string;
}

/** Each repository holds one app, each tag an image index of one version of it for every architecture. */
export class RandomRegistry implements RegistrySource {
  readonly id: string;
  readonly requests = 0;
  readonly #options: RandomRegistryOptions;
  readonly #images = new Map<Digest, { repository: number; version: number; architecture: string }>();
  /** How often a tag was pushed since, by repository and tag. */
  readonly #pushes = new Map<string, number>();
  /** The tags that were pushed since, by the digests that they lead to. */
  readonly #pushed = new Map<Digest, string>();

  constructor(options: RandomRegistryOptions) {
    this.id = options.id ?? 'http://random.example.org';
    this.#options = options;
  }

  /** Pushes another version of an app as `tag`; returns the digest of its image index. */
  async push(repository: string, tag: string): Promise<Digest> {
    const name = `${repository}:${tag}`;
    this.#pushes.set(name, (this.#pushes.get(name) ?? 0) + 1);
    const { digest } = await this.resolve(repository, tag);
    this.#pushed.set(digest, tag);
    return digest;
  }

  covers(): boolean {
    return true;
  }

  async *repositories(): AsyncGenerator<readonly string[]> {
    yield Array.from({ length: this.#options.repositories }, (_, number) => randomRepository(number));
  }

  async tags(): Promise<readonly string[]> {
    return this.#options.tags;
  }

  async resolve(repository: string, tag: string): Promise<Descriptor> {
    return { mediaType: OCI_IMAGE_INDEX, digest: digestOf(`index ${this.#named(repository, tag)}`), size: 1000 };
  }

  async manifest(repository: string, reference: string): Promise<Manifest> {
    const number = Number(repository.slice(-5));
    const { tags, architectures } = this.#options;
    const name = this.#pushed.get(reference as Digest) ?? reference;
    const tag = tags.indexOf(name);
    if (tag !== -1) {
      const version = tag + tags.length * (this.#pushes.get(`${repository}:${name}`) ?? 0);
      const manifests = architectures.map((architecture) => {
        const digest = digestOf(`image ${this.#named(repository, name)} ${architecture}`);
        this.#images.set(digest, { repository: number, version, architecture });
        return { mediaType: OCI_IMAGE_MANIFEST, digest, size: 1000 };
      });
      return { kind: 'index', ...(await this.resolve(repository, name)), manifests };
    }
    const digest = reference as Digest;
    if (!this.#images.has(digest)) throw new RegistryError('not-found', `${repository}@${reference} is not known`);
    const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 20_000 };
    return { kind: 'image', mediaType: OCI_IMAGE_MANIFEST, digest, size: 1000, config, annotations: {} };
  }

  async config(repository: string, descriptor: Descriptor): Promise<ImageConfig> {
    const image = this.#images.get(descriptor.digest);
    if (image === undefined) throw new RegistryError('not-found', `${repository}@${descriptor.digest} is not known`);
    return randomConfig(image.repository, image.version, image.architecture, this.#options.size);
  }

  async close(): Promise<void> {
    this.#images.clear();
  }

  /** What the digests of a tag are made from. */
  #named(repository: string, tag: string): string {
    const pushes = this.#pushes.get(`${repository}:${tag}`);
    return pushes === undefined ? `${repository} ${tag}` : `${repository} ${tag} ${pushes}`;
  }
}
