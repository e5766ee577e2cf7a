/** Deltas in the store: which images were replaced, which deltas the indexes want, and what came of making them. */
import type { Digest } from '../registry/digest.ts';

/** An image that a tag led to until it was replaced. */
export interface ReplacedImage {
  readonly repository: string;
  readonly tag: string;
  readonly os: string;
  readonly architecture: string;
  /** Digest of its manifest. */
  readonly digest: Digest;
  /** When it was replaced, in milliseconds since the epoch. */
  readonly at: number;
}

/** Two images, by the digests of their manifests. */
export interface ImagePair {
  /** The image that is installed. */
  readonly source: Digest;
  /** The image that replaced it. */
  readonly target: Digest;
}

/** A delta that an index wants. */
export interface WantedDelta extends ImagePair {
  /** 0 for the image that was replaced last. */
  readonly rank: number;
}

/** Two images of one registry. */
export interface DeltaPair extends ImagePair {
  readonly registry: string;
}

/** Returns a text that differs for each pair; the engines compose the same one in SQL. */
export function pairKey({ registry, target, source }: DeltaPair): string {
  return [registry, target, source].join(' ');
}

/** Registries and pairs that are passed over for now. */
export interface PassedOver {
  /** Registries of which no delta is made. */
  readonly registries: readonly string[];
  readonly pairs: readonly DeltaPair[];
}

/** A delta that is to be made. */
export interface PendingDelta extends DeltaPair {
  /** A repository that has both images. */
  readonly repository: string;
}

/** A delta that was made. */
export interface MadeDelta extends ImagePair {
  /** Digest of its blob, of the kind `delta`. */
  readonly digest: Digest;
  /** Sizes of the delta and of the layer that it leads to, as the registry has that; in bytes. */
  readonly size: number;
  readonly layerSize: number;
  /** DiffIDs of the layers that it leads from and to. */
  readonly from: Digest;
  readonly to: Digest;
  /** Version that the source's app data names; empty if unknown. */
  readonly version: string;
}

/** Outcome of making a delta. */
export type DeltaOutcome =
  | (Omit<MadeDelta, keyof ImagePair> & { readonly kind: 'made' })
  /** `unsuitable`: it would save too little, or its images are not of the kind that deltas are for. */
  | { readonly kind: 'unsuitable' | 'failed'; readonly reason: string };

/** Numbers of deltas that indexes want. */
export interface DeltaCounts {
  readonly pending: number;
  readonly made: number;
  readonly unsuitable: number;
  readonly failed: number;
  /** Size of those that were made, in bytes. */
  readonly bytes: number;
  /** By how many bytes these are smaller than their layers, together. */
  readonly saved: number;
}

/**
 * Records of deltas, in the catalog's transactions. `registry` is always the `id` of a {@link RegistrySource}, `manner` a
 * text that changes with whatever decides how deltas are made. Methods reject with a {@link StoreError}.
 */
export interface Deltas {
  /** Returns the replaced images of repositories, by repository, those first that were replaced last. */
  replaced(registry: string, repositories: readonly string[]): Promise<ReadonlyMap<string, readonly ReplacedImage[]>>;

  /**
   * Forgets images that were replaced before this time, in milliseconds since the epoch; marks repositories as dirty for
   * indexes that want deltas from them.
   */
  forgetReplaced(registry: string, before: number): Promise<void>;

  /** Returns the deltas that lead to these images. */
  made(registry: string, targets: readonly Digest[]): Promise<readonly MadeDelta[]>;

  /**
   * Replaces the deltas that an index wants.
   * @param wanted by repository, also those of which none are wanted any more
   * @param others whether those of other repositories stay
   */
  want(
    index: string,
    registry: string,
    wanted: ReadonlyMap<string, readonly WantedDelta[]>,
    others: 'keep' | 'remove',
  ): Promise<void>;

  /** Returns the delta to make next; not one of which something else than a delta came in the same manner. */
  next(manner: string, except?: PassedOver): Promise<PendingDelta | undefined>;

  /** Records what came of making a delta, and marks its repositories as dirty for the indexes that want it. */
  record(pair: DeltaPair, outcome: DeltaOutcome, manner: string): Promise<void>;

  /** Forgets what was made of a blob that was lost, and marks its repositories as dirty. */
  lose(blob: Digest): Promise<void>;

  /** Counts the deltas that indexes want. */
  count(manner: string): Promise<DeltaCounts>;

  /** Removes what other indexes want, and records of deltas that no index wants; returns the blobs of all others. */
  clean(indexes: ReadonlySet<string>): Promise<ReadonlySet<Digest>>;
}
