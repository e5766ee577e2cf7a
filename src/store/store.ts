/** All that outlives a request, by role. */
import type { Catalog } from './catalog.ts';
import type { Publications } from './publications.ts';

/** What the one who writes opens; see {@link PublicationReader} for who answers. */
export interface Store {
  /** What the registries hold. */
  readonly catalog: Catalog;
  /** What is served. */
  readonly publications: Publications;
  close(): Promise<void>;
}

/** Size of one part of a store, in bytes; `undefined` where it cannot be measured. */
export interface StoreSize {
  readonly part: string;
  readonly size: number | undefined;
  /** Size of its write-ahead log. */
  readonly log: number | undefined;
}
