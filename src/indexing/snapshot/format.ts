/**
 * The file that holds one state of one index, whole: its document and the answers that clients ask for again and again, each in
 * every encoding, and the table for all other questions. One file, so that one rename replaces all of it.
 *
 *     bodies, one behind the other │ footer (JSON) │ sha256 of the footer │ its length (uint32, big endian) │ magic
 */
import type { RuntimeNeeds } from '../appdata/runtime-needs.ts';
import type { Encoding } from './encodings.ts';

export const MAGIC = Buffer.from('RGIDX007', 'latin1');
export const HASH_LENGTH = 32;
export const TRAILER_LENGTH = HASH_LENGTH + 4 + MAGIC.length;

/** Where a body stands in the file, in bytes. */
export interface Region {
  readonly offset: number;
  readonly length: number;
}

/** One encoding of a document. */
export interface Representation extends Region {
  /** A strong entity tag, quotes included, from the hash of these very bytes (RFC 9110, section 8.8.3). */
  readonly etag: string;
}

/** A document: the whole index or the answer to a question. */
export interface StoredDocument {
  readonly images: number;
  /** `identity` is always there, others where they are smaller. */
  readonly representations: Readonly<Partial<Record<Encoding, Representation>>> & { readonly identity: Representation };
}

export interface SnapshotFooter {
  readonly index: string;
  /** What it was made from; an equal one means an equal snapshot. */
  readonly fingerprint: string;
  /** The `id` of the catalog that it was made from: another one may not know (yet) all that the snapshot shows. */
  readonly catalog: string;
  /** The registry that it was read from, and what was taken of it; of anything else the catalog may not know yet what the snapshot shows. */
  readonly source: string;
  /** The `Registry` of the index. */
  readonly registry: string;
  /** When its content last changed: milliseconds since the epoch, in whole seconds. */
  readonly modified: number;
  /** The paths of all icons that it names, sorted. */
  readonly icons: readonly string[];
  /** Globs, the most wanted first: which repository speaks for an app. */
  readonly repositoryPriority: readonly string[];
  /** What the administrator should see of what it holds. */
  readonly warnings: readonly string[];
  readonly needs: RuntimeNeeds;
  /** By canonical query; the empty one is the whole index. */
  readonly documents: Readonly<Record<string, StoredDocument>>;
  /** The {@link ImageTable}, gzipped JSON. */
  readonly table: Representation;
  /** The list of its apps: `{"index","apps":[AppEntry]}`; `images` counts the apps. */
  readonly apps: StoredDocument;
  /** The {@link AppVersions}, gzipped JSON. */
  readonly appVersions: Representation;
}
