/** Where images come from: one interface, whatever holds them. */
import type { Descriptor, ImageConfig, Manifest } from './manifest.ts';
import type { Digest } from './digest.ts';

/**
 * Reads one registry. Everything it returns was checked: names by their grammar, content by its digest.
 * Every method throws a {@link RegistryError}, or the signal's reason once that is aborted.
 */
export interface RegistrySource {
  /** Names the registry in the catalog and in messages: its URL, or `oci:` and the folder's absolute path. No credentials. */
  readonly id: string;

  /** Requests made so far; 0 for a source that makes none. */
  readonly requests: number;

  /** What the last listing of the repositories came upon that is none, though somebody may think so; in words for administrators. */
  readonly warnings?: readonly string[];

  /** The names and globs that {@link covers} goes by; none for all repositories. */
  readonly patterns?: readonly string[];

  /** Says whether the repository is among those that this source is to read; asks nothing. */
  covers(repository: string): boolean;

  /**
   * The names of all repositories that it covers, page by page in the registry's order.
   * @throws RegistryError `no-catalog` where the registry does not list them.
   */
  repositories(signal?: AbortSignal): AsyncIterable<readonly string[]>;

  /** The tags of a repository, sorted; `not-found` if the registry does not know the repository. */
  tags(repository: string, signal?: AbortSignal): Promise<readonly string[]>;

  /** What a tag points to now, asked as cheaply as the registry allows (HEAD). */
  resolve(repository: string, tag: string, signal?: AbortSignal): Promise<Descriptor>;

  /** A manifest by tag or digest; at most 4 MiB, checked against its digest. */
  manifest(repository: string, reference: string | Digest, signal?: AbortSignal): Promise<Manifest>;

  /**
   * An image config; at most 16 MiB, checked against its digest.
   * `undefined` if it describes no image (no or unknown `os` or `architecture`).
   */
  config(repository: string, descriptor: Descriptor, signal?: AbortSignal): Promise<ImageConfig | undefined>;

  /** Ends its connections. */
  close(): Promise<void>;
}
