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
  /** Which image a digest is: `repository/tag number/architecture`. */
  readonly #images = new Map<Digest, { repository: number; tag: number; architecture: string }>();

  constructor(options: RandomRegistryOptions) {
    this.id = options.id ?? 'http://random.example.org';
    this.#options = options;
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
    return { mediaType: OCI_IMAGE_INDEX, digest: digestOf(`index ${repository} ${tag}`), size: 1000 };
  }

  async manifest(repository: string, reference: string): Promise<Manifest> {
    const number = Number(repository.slice(-5));
    const tag = this.#options.tags.indexOf(reference);
    if (tag !== -1) {
      const manifests = this.#options.architectures.map((architecture) => {
        const digest = digestOf(`image ${repository} ${reference} ${architecture}`);
        this.#images.set(digest, { repository: number, tag, architecture });
        return { mediaType: OCI_IMAGE_MANIFEST, digest, size: 1000 };
      });
      return { kind: 'index', ...(await this.resolve(repository, reference)), manifests };
    }
    const digest = reference as Digest;
    if (!this.#images.has(digest)) throw new RegistryError('not-found', `${repository}@${reference} is not known`);
    const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 20_000 };
    return { kind: 'image', mediaType: OCI_IMAGE_MANIFEST, digest, size: 1000, config, annotations: {} };
  }

  async config(repository: string, descriptor: Descriptor): Promise<ImageConfig> {
    const image = this.#images.get(descriptor.digest);
    if (image === undefined) throw new RegistryError('not-found', `${repository}@${descriptor.digest} is not known`);
    return randomConfig(image.repository, image.tag, image.architecture, this.#options.size);
  }

  async close(): Promise<void> {
    this.#images.clear();
  }
}
