/** The interface through which all kinds of registries are read. */
import type { Readable } from 'node:stream';
import type { Descriptor, ImageConfig, Manifest } from './manifest.ts';
import type { Digest } from './digest.ts';

/**
 * Reads one registry. All results are checked: names by their grammar, content by its digest.
 * All methods throw a {@link RegistryError}, or the signal's reason after it is aborted.
 */
export interface RegistrySource {
  /**
   * The registry's id in the catalog and in messages: its URL without credentials, or `oci:` and the folder's absolute
   * path.
   */
  readonly id: string;

  /** The number of requests sent so far; 0 for a folder. */
  readonly requests: number;

  /** Warnings of the last listing, for administrators: folders that look like repositories and are not shown. */
  readonly warnings?: readonly string[];

  /** Part of the configuration that decides which repositories are selected; empty for all. */
  readonly patterns?: readonly string[];

  /** The origin of the API that lists repositories, if that is configured and not the registry itself. */
  readonly listedAt?: string | undefined;

  /** Says whether the configuration selects the repository; sends no request. */
  covers(repository: string): boolean;

  /**
   * The names of all selected repositories, page by page in the registry's order.
   * @throws RegistryError `no-catalog` if the registry does not list its repositories.
   */
  repositories(signal?: AbortSignal): AsyncIterable<readonly string[]>;

  /**
   * The tags of a repository, sorted.
   * @throws RegistryError `not-found` if the registry does not know the repository.
   */
  tags(repository: string, signal?: AbortSignal): Promise<readonly string[]>;

  /**
   * Says whether {@link tags}, which were just read, needed no login. Absent where nothing refuses access.
   */
  isPublic?(repository: string): boolean;

  /** The descriptor that a tag points to now, by HEAD if the registry supports it. */
  resolve(repository: string, tag: string, signal?: AbortSignal): Promise<Descriptor>;

  /** A manifest by tag or digest; at most 4 MiB, checked against its digest. */
  manifest(repository: string, reference: string | Digest, signal?: AbortSignal): Promise<Manifest>;

  /**
   * An image config, at most 16 MiB, checked against its digest;
   * `undefined` if it does not describe an image (`os` or `architecture` is missing or `unknown`).
   */
  config(repository: string, descriptor: Descriptor, signal?: AbortSignal): Promise<ImageConfig | undefined>;

  /** Closes all connections; pending requests fail. */
  close(): Promise<void>;
}

/** Reads whole images, to copy them. All methods throw as those of {@link RegistrySource} do. */
export interface ImageSource {
  /** A manifest's bytes, at most 4 MiB, checked against the digest. */
  openManifest(
    repository: string,
    digest: Digest,
    signal?: AbortSignal,
  ): Promise<{ readonly descriptor: Descriptor; readonly bytes: Buffer }>;

  /** A blob's bytes; the reader checks them against the digest. The stream must be read to its end or destroyed. */
  readBlob(repository: string, digest: Digest, signal?: AbortSignal): Promise<Readable>;
}
