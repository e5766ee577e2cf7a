/**
 * A registry in memory: tests push, move and delete what it holds, and make it fail as no real registry can be made to.
 */
import type { Digest } from '../../src/registry/digest.ts';
import { digestOf, isDigest } from '../../src/registry/digest.ts';
import type { Descriptor, ImageConfig, Manifest } from '../../src/registry/manifest.ts';
import { OCI_IMAGE_INDEX, OCI_IMAGE_MANIFEST } from '../../src/registry/media-types.ts';
import { parseImageConfig } from '../../src/registry/parse-image-config.ts';
import { parseManifest } from '../../src/registry/parse-manifest.ts';
import type { RegistryErrorCode } from '../../src/registry/registry-error.ts';
import { RegistryError } from '../../src/registry/registry-error.ts';
import type { RegistrySource } from '../../src/registry/registry-source.ts';

/** One request. Each page of the list of repositories is a call, from 1. */
export interface RegistryCall {
  readonly method: 'repositories' | 'tags' | 'resolve' | 'manifest' | 'config';
  readonly repository?: string;
  /** A tag, or the digest of a manifest or config. */
  readonly reference?: string;
  readonly page?: number;
}

/** A call that waits. */
export interface HeldCall {
  /** Resolves when it was made. */
  readonly reached: Promise<void>;
  /** Lets it go on. */
  release(): void;
}

export interface PushedImage {
  /** `amd64` if absent. */
  readonly architecture?: string;
  /** `linux` if absent. */
  readonly os?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Of an OCI manifest. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** An OCI image manifest if absent. */
  readonly mediaType?: string;
}

interface Repository {
  readonly tags: Map<string, Digest>;
  readonly manifests: Map<Digest, { readonly mediaType: string; readonly bytes: Buffer }>;
  readonly configs: Map<Digest, Buffer>;
}

interface Fault {
  readonly call: Partial<RegistryCall>;
  readonly happen: (call: RegistryCall, signal: AbortSignal | undefined) => Promise<void>;
}

/** Digests are those of real manifests and configs, which are read by the program's own parsers. */
export class MemoryRegistry implements RegistrySource {
  readonly id: string;
  /** All calls so far. */
  readonly calls: RegistryCall[] = [];
  readonly #pageSize: number;
  readonly #repositories = new Map<string, Repository>();
  readonly #unlisted = new Set<string>();
  readonly #uncovered = new Set<string>();
  readonly #public = new Set<string>();
  readonly #faults: Fault[] = [];

  /** @param pageSize repositories on one page of the list */
  constructor({
    id = 'http://registry.example.org',
    pageSize = 1000,
  }: { readonly id?: string; readonly pageSize?: number } = {}) {
    this.id = id;
    this.#pageSize = pageSize;
  }

  get requests(): number {
    return this.calls.length;
  }

  /** Pushes an image, with `tag` unless that is `undefined`; returns the digest of its manifest. */
  pushImage(
    repository: string,
    tag: string | undefined,
    {
      architecture = 'amd64',
      os = 'linux',
      labels = {},
      annotations,
      mediaType = OCI_IMAGE_MANIFEST,
    }: PushedImage = {},
  ): Digest {
    const config = this.#pushConfig(repository, { os, architecture, config: { Labels: labels } });
    return this.pushManifest(repository, tag, { schemaVersion: 2, mediaType, config, layers: [], annotations });
  }

  /** Pushes an image index of `images`, which need not be there. */
  pushIndex(
    repository: string,
    tag: string | undefined,
    images: readonly Digest[],
    mediaType: string = OCI_IMAGE_INDEX,
  ): Digest {
    const { manifests } = this.#repository(repository);
    const children = images.map((digest) => {
      const child = manifests.get(digest);
      return { mediaType: child?.mediaType ?? OCI_IMAGE_MANIFEST, digest, size: child?.bytes.length ?? 1000 };
    });
    return this.pushManifest(repository, tag, { schemaVersion: 2, mediaType, manifests: children });
  }

  /** Pushes an artifact, such as a signature. */
  pushArtifact(repository: string, tag: string | undefined, content: string = ''): Digest {
    const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf('{}'), size: 2 };
    return this.pushManifest(repository, tag, {
      schemaVersion: 2,
      mediaType: OCI_IMAGE_MANIFEST,
      artifactType: 'application/vnd.example.signature',
      config,
      layers: [],
      annotations: { content },
    });
  }

  /** Pushes any manifest. */
  pushManifest(
    repository: string,
    tag: string | undefined,
    manifest: { readonly mediaType: string; readonly [member: string]: unknown },
  ): Digest {
    const bytes = Buffer.from(JSON.stringify(manifest));
    const digest = digestOf(bytes);
    const { manifests, tags } = this.#repository(repository);
    manifests.set(digest, { mediaType: manifest.mediaType, bytes });
    if (tag !== undefined) tags.set(tag, digest);
    return digest;
  }

  /** The digest of an image's config. */
  configOf(repository: string, image: Digest): Digest {
    const manifest = this.#manifest(repository, image);
    if (manifest.kind !== 'image') throw new TypeError(`${image} is not an image`);
    return manifest.config.digest;
  }

  /** Moves a tag to a manifest, or makes it. */
  tag(repository: string, tag: string, digest: Digest): void {
    this.#repository(repository).tags.set(tag, digest);
  }

  untag(repository: string, tag: string): void {
    this.#repository(repository).tags.delete(tag);
  }

  /** Deletes a manifest and, as a registry does, the tags that point to it. */
  deleteManifest(repository: string, digest: Digest): void {
    const { manifests, tags } = this.#repository(repository);
    manifests.delete(digest);
    for (const [tag, target] of tags) if (target === digest) tags.delete(tag);
  }

  /** Deletes the configs of all images of a repository. */
  deleteConfigs(repository: string): void {
    this.#repository(repository).configs.clear();
  }

  /** Deletes all that a repository holds; `stays` if the list of repositories goes on to name it. */
  deleteRepository(repository: string, { stays = false }: { readonly stays?: boolean } = {}): void {
    if (stays)
      for (const content of Object.values(this.#repository(repository))) (content as Map<unknown, unknown>).clear();
    else this.#repositories.delete(repository);
  }

  /** The list of repositories leaves this one out, as one that is cut short does; its content can still be read. */
  unlist(repository: string): void {
    this.#unlisted.add(repository);
  }

  list(repository: string): void {
    this.#unlisted.delete(repository);
  }

  /**
   * From now on the source is not to read this repository, as if its configuration left it out. Indexers that are
   * opened from then on see it.
   */
  uncover(repository: string): void {
    this.#uncovered.add(repository);
  }

  /** From now on the repository is read without a login, or again with one. */
  publish(repository: string, isPublic: boolean): void {
    if (isPublic) this.#public.add(repository);
    else this.#public.delete(repository);
  }

  /** Calls like `call` fail, until {@link heal}. */
  fail(call: Partial<RegistryCall>, code: RegistryErrorCode = 'unavailable'): void {
    this.#faults.push({
      call,
      happen: async ({ method, repository, reference }) => {
        throw new RegistryError(
          code,
          `${[this.id, method, repository, reference].filter((part) => part !== undefined).join(' ')}: ${code}`,
        );
      },
    });
  }

  /** Calls like `call` wait until they are released; for ever, if they never are. */
  hold(call: Partial<RegistryCall>): HeldCall {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    this.#faults.push({
      call,
      happen: (_call, signal) => {
        reached.resolve();
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        void released.promise.then(resolve);
        signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        return promise;
      },
    });
    return { reached: reached.promise, release: released.resolve };
  }

  /** Ends all failures. */
  heal(): void {
    this.#faults.length = 0;
  }

  /** From now on it is to be read again. */
  cover(repository: string): void {
    this.#uncovered.delete(repository);
  }

  get patterns(): readonly string[] {
    return [...this.#uncovered].map((name) => `all but ${name}`);
  }

  covers(repository: string): boolean {
    return !this.#uncovered.has(repository);
  }

  async *repositories(signal?: AbortSignal): AsyncGenerator<readonly string[]> {
    const names = [...this.#repositories.keys()].filter((name) => !this.#unlisted.has(name) && this.covers(name));
    let page = 0;
    do {
      page++;
      await this.#answer({ method: 'repositories', page }, signal);
      yield names.splice(0, this.#pageSize);
    } while (names.length > 0);
  }

  async tags(repository: string, signal?: AbortSignal): Promise<readonly string[]> {
    await this.#answer({ method: 'tags', repository }, signal);
    const { tags } = this.#known(repository);
    // As registries do once the last tag is deleted.
    if (tags.size === 0) throw notFound(repository);
    return [...tags.keys()].toSorted();
  }

  isPublic(repository: string): boolean {
    return this.#public.has(repository);
  }

  async resolve(repository: string, tag: string, signal?: AbortSignal): Promise<Descriptor> {
    await this.#answer({ method: 'resolve', repository, reference: tag }, signal);
    const { mediaType, digest, size } = this.#manifest(repository, tag);
    return { mediaType, digest, size };
  }

  async manifest(repository: string, reference: string, signal?: AbortSignal): Promise<Manifest> {
    await this.#answer({ method: 'manifest', repository, reference }, signal);
    return this.#manifest(repository, reference);
  }

  async config(repository: string, { digest }: Descriptor, signal?: AbortSignal): Promise<ImageConfig | undefined> {
    await this.#answer({ method: 'config', repository, reference: digest }, signal);
    const bytes = this.#known(repository).configs.get(digest);
    if (bytes === undefined) throw notFound(`${repository}@${digest}`);
    return parseImageConfig(bytes);
  }

  async close(): Promise<void> {}

  /** Counts a call, and lets happen what was to happen to it. */
  async #answer(call: RegistryCall, signal: AbortSignal | undefined): Promise<void> {
    this.calls.push(call);
    signal?.throwIfAborted();
    for (const fault of this.#faults) if (isLike(call, fault.call)) await fault.happen(call, signal);
  }

  #manifest(repository: string, reference: string): Manifest {
    const { tags, manifests } = this.#known(repository);
    const digest = isDigest(reference) ? reference : tags.get(reference);
    const stored = digest && manifests.get(digest);
    if (digest === undefined || stored === undefined) throw notFound(`${repository}@${reference}`);
    return parseManifest(stored.bytes, { mediaType: stored.mediaType, digest });
  }

  #pushConfig(repository: string, config: object): Descriptor {
    const bytes = Buffer.from(JSON.stringify(config));
    const digest = digestOf(bytes);
    this.#repository(repository).configs.set(digest, bytes);
    return { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: bytes.length };
  }

  #known(repository: string): Repository {
    const known = this.#repositories.get(repository);
    if (known === undefined) throw notFound(repository);
    return known;
  }

  #repository(name: string): Repository {
    let repository = this.#repositories.get(name);
    if (repository === undefined) {
      repository = { tags: new Map(), manifests: new Map(), configs: new Map() };
      this.#repositories.set(name, repository);
    }
    return repository;
  }
}

function notFound(what: string): RegistryError {
  return new RegistryError('not-found', `${what} is not there`);
}

function isLike(call: RegistryCall, pattern: Partial<RegistryCall>): boolean {
  return Object.entries(pattern).every(([key, value]) => call[key as keyof RegistryCall] === value);
}
