/** Everything that outlives a request, by role. */
import type { Catalog } from './catalog.ts';
import type { Publications } from './publications.ts';

/** The store as its one writer opens it; readers use a {@link PublicationReader}. */
export interface Store {
  readonly catalog: Catalog;
  readonly publications: Publications;
  /** Closes all roles. */
  close(): Promise<void>;
}

/** Size of one part of the store, in bytes; `undefined` if it cannot be measured. */
export interface StoreSize {
  readonly part: string;
  readonly size: number | undefined;
  /** Size of its write-ahead log. */
  readonly log: number | undefined;
}
