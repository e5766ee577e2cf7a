/** Reads manifests, image indexes and configs of a registry by digest. */
import { imageBytes, manifestBytes, type Image } from '../../store/catalog.ts';
import { messageOf } from '../../system/message-of.ts';
import type { Digest } from '../../registry/digest.ts';
import { LARGE_CONFIG_BYTES, MAX_INDEX_CHILDREN, MAX_MANIFEST_BYTES } from '../../registry/limits.ts';
import type { ImageConfig, ImageManifest, Manifest } from '../../registry/manifest.ts';
import { isNotFound, RegistryError, type RegistryErrorCode } from '../../registry/registry-error.ts';
import type { RegistrySource } from '../../registry/registry-source.ts';
import { detachIcons, IconReader } from '../icons/icons.ts';
import type { WorkingCopy } from './working-copy.ts';

/** Levels of nested image indexes; deeper ones are refused. */
const MAX_NESTING = 4;
/** Most requests for manifests and configs of one repository in a scan; the next scan continues. */
const MAX_REQUESTS = 50_000;
/** Most bytes of manifests and configs of one repository in a scan; the next scan continues. */
const MAX_BYTES = 1024 ** 3;
/** Most that the catalog keeps of one registry, in bytes. */
const MAX_STORED = 2 * 1024 ** 3;
/** Share of that from which on there is a warning. */
const STORED_TO_WARN = 0.75;
/** Errors of responses that were received whole, and so count with their size. */
const RECEIVED_WHOLE: ReadonlySet<RegistryErrorCode> = new Set(['malformed', 'too-large', 'digest-mismatch']);

/** A repository that is being read, and its cost so far. */
export interface RepositoryCost {
  readonly name: string;
  requests: number;
  bytes: number;
  /** Digests that were read for it. */
  readonly digests: Digest[];
}

/** A tag that is being read, and its cost so far. */
export interface TagCost {
  readonly repository: RepositoryCost;
  /** Number of manifests that the tag leads to; one with several paths counts several times. */
  manifests: number;
}

/** A digest that is being read, for a repository. */
interface PendingDigest {
  readonly repository: string;
  readonly result: Promise<DigestResult>;
}

/** Result of reading a digest and all that it leads to. */
export interface DigestResult {
  /** Whether all of it was read, and is valid. */
  readonly whole: boolean;
  /** Errors of parts that could not be read. */
  readonly faults: readonly unknown[];
  /** Number of manifests below it; one with several paths counts several times. */
  readonly manifests: number;
}

/** Children of an image index, and messages about invalid ones. */
interface Children {
  readonly manifests: readonly Digest[];
  readonly faults: readonly string[];
}

const WHOLE: DigestResult = { whole: true, faults: [], manifests: 0 };

/** Thrown if some tags of a repository could not be read. */
export class TagsFailed extends Error {}

/** Options of {@link DigestReader}. */
export interface DigestReaderOptions {
  readonly source: RegistrySource;
  readonly known: WorkingCopy;
  /** Most that the catalog keeps of the registry, in bytes; 2 GiB if absent. */
  readonly maxStored?: number | undefined;
  /** Called after each new image. */
  readonly onImage: () => void;
  /** Receives warnings about a registry that fills the catalog. */
  readonly onWarning?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Reads digests of a registry, with all that they lead to, into the working copy. */
export class DigestReader {
  readonly #options: DigestReaderOptions;
  readonly #source: RegistrySource;
  readonly #known: WorkingCopy;
  /** Digests that are being read, so that two tags that lead to one digest cost one request. */
  readonly #pending = new Map<Digest, PendingDigest>();
  /** Estimated size of what the catalog keeps of the registry, including pending changes, in bytes. */
  #stored: number;
  /** Queue of large configs, which are read one at a time to bound memory. */
  #large: Promise<unknown> = Promise.resolve();
  readonly #icons = new IconReader();
  /** Number of new images, read and to be read. */
  readonly images = { done: 0, total: 0 };

  constructor(options: DigestReaderOptions) {
    this.#options = options;
    this.#source = options.source;
    this.#known = options.known;
    this.#stored = options.known.stored;
  }

  /**
   * Reads a digest and all that it leads to, except for what is known. A child that the registry does not have (a
   * sparse index) is skipped until the next scan; one that cannot be read is a fault.
   */
  async read(cost: TagCost, digest: Digest, manifest: Manifest | undefined, depth = 0): Promise<DigestResult> {
    const { repository } = cost;
    const pending = this.#pending.get(digest);
    if (pending?.repository === repository.name) return counted(cost, await pending.result);
    if (pending !== undefined) {
      const result = await pending.result.catch(() => undefined);
      if (result?.whole === true) return counted(cost, result);
      // This repository may have what the other one does not.
      if (this.#pending.get(digest) !== pending) return this.read(cost, digest, manifest, depth);
    }
    const result = this.#readManifest(cost, digest, manifest, depth);
    this.#pending.set(digest, { repository: repository.name, result });
    repository.digests.push(digest);
    return result;
  }

  async #readManifest(
    cost: TagCost,
    digest: Digest,
    fetched: Manifest | undefined,
    depth: number,
  ): Promise<DigestResult> {
    const known = await this.#known.manifest(digest);
    if (known?.kind === 'index')
      return this.#readChildren(cost, digest, { manifests: known.manifests, faults: known.faults ?? [] }, depth);
    if (known !== undefined) return WHOLE;

    const manifest = fetched ?? (await this.manifest(cost, digest));
    if (manifest.kind !== 'image') {
      const result =
        manifest.kind === 'artifact'
          ? WHOLE
          : await this.#readChildren(
              cost,
              digest,
              { manifests: manifest.manifests.map((child) => child.digest), faults: manifest.faults ?? [] },
              depth,
            );
      this.countStored(manifestBytes(manifest));
      this.#known.putManifest(manifest);
      return result;
    }

    this.images.total++;
    const config = await this.#config(cost, manifest);
    const { mediaType, size } = manifest;
    if (config === undefined) {
      this.images.total--;
      this.#known.putManifest({ kind: 'artifact', mediaType, digest, size });
      return WHOLE;
    }
    const { os, architecture, labels } = config;
    const { pngs, ...texts } = detachIcons({ annotations: manifest.annotations, labels }, this.#icons);
    const image: Image = { mediaType, digest, size, os, architecture, ...texts };
    this.countStored(imageBytes(image, pngs));
    await this.#known.putImage(image, pngs);
    this.images.done++;
    this.#options.onImage();
    return WHOLE;
  }

  /** Reads a manifest by tag or digest. */
  async manifest({ repository }: TagCost, reference: string): Promise<Manifest> {
    this.#countRequest(repository, 0);
    try {
      const manifest = await this.#source.manifest(repository.name, reference, this.#options.signal);
      repository.bytes += manifest.size;
      return manifest;
    } catch (error) {
      if (error instanceof RegistryError && RECEIVED_WHOLE.has(error.code)) repository.bytes += MAX_MANIFEST_BYTES;
      throw error;
    }
  }

  /** Reads a config. A missing one makes the image invalid; it does not mean that the image is gone. */
  async #config({ repository }: TagCost, { digest, config }: ImageManifest): Promise<ImageConfig | undefined> {
    this.#countRequest(repository, config.size);
    const read = (): Promise<ImageConfig | undefined> =>
      this.#source.config(repository.name, config, this.#options.signal);
    try {
      if (config.size <= LARGE_CONFIG_BYTES) return await read();
      const large = this.#large.then(read);
      this.#large = large.catch(() => {});
      return await large;
    } catch (error) {
      if (isNotFound(error))
        throw new RegistryError('malformed', `${repository.name}@${digest}: ${messageOf(error)}`, { cause: error });
      throw error;
    }
  }

  /**
   * Counts a request for so many bytes.
   * @throws RegistryError `too-large` if a limit of the repository or the catalog is reached
   */
  #countRequest(repository: RepositoryCost, bytes: number): void {
    this.countStored(0);
    if (repository.requests >= MAX_REQUESTS || repository.bytes + bytes > MAX_BYTES) {
      throw new RegistryError(
        'too-large',
        `${repository.name}: more than ${MAX_REQUESTS} manifests and configs, or ${mebibytes(MAX_BYTES)} of them, are new; the next rebuild continues`,
      );
    }
    repository.requests++;
    repository.bytes += bytes;
  }

  /**
   * Counts bytes that the catalog is to keep.
   * @throws RegistryError `too-large` if its limit for the registry is reached
   */
  countStored(bytes: number): void {
    const { maxStored = MAX_STORED } = this.#options;
    if (this.#stored + bytes > maxStored)
      throw new RegistryError(
        'too-large',
        `nothing new is stored from ${this.#source.id}: its ${mebibytes(this.#stored)} in the catalog are near the limit of ${mebibytes(maxStored)}`,
      );
    this.#stored += bytes;
  }

  async #readChildren(
    cost: TagCost,
    digest: Digest,
    { manifests, faults }: Children,
    depth: number,
  ): Promise<DigestResult> {
    const repository = cost.repository.name;
    if (depth >= MAX_NESTING)
      throw new TagsFailed(`${repository}: image indexes are nested more than ${MAX_NESTING} levels deep`);
    count(cost, manifests.length);
    const results = await Promise.allSettled(manifests.map((child) => this.read(cost, child, undefined, depth + 1)));
    const found = results.flatMap((result) => {
      if (result.status === 'fulfilled') return result.value.faults;
      rethrowIfFatal(result.reason, this.#options.signal);
      // Nothing of an index that is nested too deeply, or too large, is stored.
      if (result.reason instanceof TagsFailed) throw result.reason;
      return isNotFound(result.reason) ? [] : [result.reason as unknown];
    });
    return {
      whole: faults.length === 0 && results.every((result) => result.status === 'fulfilled' && result.value.whole),
      faults: [...faults.map((fault) => new RegistryError('malformed', `${repository}@${digest}: ${fault}`)), ...found],
      manifests: results.reduce(
        (sum, result) => sum + 1 + (result.status === 'fulfilled' ? result.value.manifests : 0),
        0,
      ),
    };
  }

  /** Forgets the digests of a repository, which the working copy knows from here on. */
  finish({ digests }: RepositoryCost): void {
    for (const digest of digests) this.#pending.delete(digest);
  }

  /** Warns if the catalog keeps nearly as much of the registry as it may. */
  warnOfStored(): void {
    const { maxStored = MAX_STORED, onWarning } = this.#options;
    if (this.#stored <= maxStored * STORED_TO_WARN) return;
    onWarning?.(
      `${this.#source.id} takes ${mebibytes(this.#stored)} in the catalog: beyond ${mebibytes(maxStored)}, nothing new is stored from it. Index fewer repositories or tags, or check who pushes so much`,
    );
  }
}

/** Returns the cost of a repository of which nothing was read yet. */
export function newCost(name: string): RepositoryCost {
  return { name, requests: 0, bytes: 0, digests: [] };
}

/** Rethrows an abort or an error of the store, which end the scan; errors of the registry never do. */
export function rethrowIfFatal(error: unknown, signal: AbortSignal | undefined): void {
  signal?.throwIfAborted();
  if (!(error instanceof TagsFailed || error instanceof RegistryError)) throw error;
}

/** Counts manifests that were already read for another tag. */
function counted(cost: TagCost, result: DigestResult): DigestResult {
  count(cost, result.manifests);
  return result;
}

/**
 * Counts manifests that a tag leads to.
 * @throws TagsFailed if there are too many
 */
function count(cost: TagCost, manifests: number): void {
  cost.manifests += manifests;
  if (cost.manifests > MAX_INDEX_CHILDREN)
    throw new TagsFailed(
      `${cost.repository.name}: more than ${MAX_INDEX_CHILDREN} manifests in one image index and its nested ones`,
    );
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2)} MiB`;
}
