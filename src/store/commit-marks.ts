/** Collects what a commit of the catalog changes, for every engine. */
import type { Digest } from '../registry/digest.ts';
import { TAG_BYTES, type TagRecord } from './catalog.ts';

/** Changes of one commit, from which the dirty repositories follow. */
export class CommitMarks {
  /** Repositories of which a tag was added, removed or moved. */
  readonly repositories = new Set<string>();
  /** Digests that these tags point to now, and pointed to before. */
  readonly digests = new Set<Digest>();
  /** Manifests that were read. */
  readonly manifests = new Set<Digest>();
  /** Growth of the stored size, in bytes. */
  stored = 0;

  change(repository: string, before: TagRecord | undefined, now: TagRecord | undefined): void {
    this.repositories.add(repository);
    this.stored += TAG_BYTES * (Number(now !== undefined) - Number(before !== undefined));
    for (const record of [before, now])
      if (record !== undefined) for (const digest of [record.digest, ...(record.kept ?? [])]) this.digests.add(digest);
  }
}
