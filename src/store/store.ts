/** Everything that outlives a request, by role. */
import type { Blobs } from './blobs.ts';
import type { Catalog } from './catalog.ts';
import type { Publications } from './publications.ts';

/** The store as its one writer opens it; readers use a {@link PublicationReader} and a {@link BlobReader}. */
export interface Store {
  readonly catalog: Catalog;
  readonly publications: Publications;
  readonly blobs: Blobs;
  readonly settings: Settings;
  /**
   * Checks that this process may still write, before it writes elsewhere for all replicas; absent if nobody else may.
   * @throws StoreError `deposed` if another replica may write now
   */
  checkLease?(): Promise<void>;
  /** Closes all roles. */
  close(): Promise<void>;
}

/** Values that the program chose once and keeps. All may be lost: whoever reads one can choose another. */
export interface Settings {
  /** Returns a value; `undefined` if it was never set, or was lost. */
  get(key: string): Promise<string | undefined>;
  set(key: string, value: string): Promise<void>;
}

/** Size of one part of the store, in bytes; `undefined` if it cannot be measured. */
export interface StoreSize {
  readonly part: string;
  readonly size: number | undefined;
  /** Size of its write-ahead log. */
  readonly log: number | undefined;
}
