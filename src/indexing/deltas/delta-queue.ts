/** The queue of deltas that indexes want, and keeping those that were made. */
import type { Digest } from '../../registry/digest.ts';
import { type BlobName, BlobWriter } from '../../store/blobs.ts';
import type { DeltaCounts, DeltaOutcome, PassedOver, PendingDelta } from '../../store/deltas.ts';
import type { Store } from '../../store/store.ts';
import { version } from '../../system/version.ts';
import type { DeltaDefinition, IndexDefinition } from '../index-definition.ts';

/** Bounds for making a delta: the widest of all indexes of its registry. */
export type DeltaLimits = Pick<DeltaDefinition, 'maxRatio' | 'minSize' | 'maxLayer' | 'maxStore'>;

/** State of the queue. */
export interface DeltaQueueState extends DeltaCounts {
  /** Size of all deltas in the store, in bytes; withdrawn ones stay for a while. */
  readonly stored: number;
  /** Whether deltas wait until there is room for them. */
  readonly full: boolean;
  /** The delta to make next; absent if there is none, or no room. */
  readonly next?: PendingDelta & { readonly limits: DeltaLimits };
}

/** Queue of the deltas that some indexes want. One delta at a time is made and kept. */
export class DeltaQueue {
  readonly #store: Pick<Store, 'blobs' | 'catalog'>;
  readonly #limits: ReadonlyMap<string, DeltaLimits>;
  readonly #maxStore: number;
  /** Changes with whatever decides how deltas are made: what failed before is then tried again. */
  readonly #manner: string;
  #writer: BlobWriter | undefined;
  /** Room that the last delta that was made needs, if there was too little, in bytes. */
  #needed = 0;

  constructor(store: Pick<Store, 'blobs' | 'catalog'>, definitions: readonly IndexDefinition[]) {
    this.#store = store;
    const wanting = definitions.flatMap(({ registry, deltas }) => (deltas === undefined ? [] : [{ registry, deltas }]));
    this.#limits = new Map(
      [...Map.groupBy(wanting, ({ registry }) => registry)].map(([registry, its]) => [
        registry,
        {
          maxRatio: Math.max(...its.map(({ deltas }) => deltas.maxRatio)),
          minSize: Math.min(...its.map(({ deltas }) => deltas.minSize)),
          maxLayer: Math.max(...its.map(({ deltas }) => deltas.maxLayer)),
          maxStore: Math.max(...wanting.map(({ deltas }) => deltas.maxStore)),
        },
      ]),
    );
    this.#maxStore = Math.max(0, ...wanting.map(({ deltas }) => deltas.maxStore));
    this.#manner = JSON.stringify([version, ...this.#limits]);
  }

  /** Whether any index has deltas. */
  get isUsed(): boolean {
    return this.#limits.size > 0;
  }

  /** Whether a delta is being written. */
  get isWriting(): boolean {
    return this.#writer !== undefined;
  }

  /**
   * Returns the state of the queue. Gives up a delta that is still being written: only whoever failed to hand it over
   * asks for the next one before it has ended.
   * @throws StoreError
   */
  async state(except?: PassedOver): Promise<DeltaQueueState> {
    const { catalog, blobs } = this.#store;
    this.#writer = undefined;
    const [counts, stored] = [await catalog.deltas.count(this.#manner), await blobs.stored('delta')];
    const full = counts.pending > 0 && stored + Math.max(1, this.#needed) > this.#maxStore;
    const next = full || counts.pending === 0 ? undefined : await catalog.deltas.next(this.#manner, except);
    const limits = next && this.#limits.get(next.registry);
    return { ...counts, stored, full, ...(next && limits && { next: { ...next, limits } }) };
  }

  /**
   * Begins to write a delta; returns whether there is room for it.
   * @param size in bytes
   * @throws StoreError
   */
  async begin(digest: Digest, size: number): Promise<boolean> {
    const { blobs } = this.#store;
    const blob: BlobName = { kind: 'delta', digest };
    this.#writer = undefined;
    // Clients may have one that is whole, which also leads between other images: it is only written again, and in use.
    const isStored = (await blobs.size(blob)) !== undefined;
    // Pieces that an earlier attempt left may be damaged.
    if (!isStored) await blobs.remove(blob);
    if (!isStored && (await blobs.stored('delta')) + size > this.#maxStore) {
      this.#needed = size;
      return false;
    }
    this.#needed = 0;
    this.#writer = new BlobWriter(blobs, blob);
    return true;
  }

  /**
   * Writes the next bytes of the delta.
   * @throws StoreError
   */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#writer === undefined) throw new TypeError('no delta is being written');
    await this.#writer.add(bytes);
  }

  /**
   * Forgets what no index of these names wants, and deltas whose blobs are missing, as after a file of the store was
   * replaced; returns the blobs of all others.
   * @throws StoreError
   */
  async clean(indexes: ReadonlySet<string>): Promise<ReadonlySet<Digest>> {
    const { catalog, blobs } = this.#store;
    const kept = new Set<Digest>();
    const made = await catalog.deltas.clean(indexes);
    // Read after what was made, which is recorded once it is stored; at once, since the next leader waits for this.
    const whole = await blobs.whole('delta');
    for (const digest of made) {
      if (!whole.has(digest)) await this.lose(digest);
      else kept.add(digest);
    }
    return kept;
  }

  /**
   * Forgets a delta whose blob is damaged or missing: it is not shown any more, and made again.
   * @throws StoreError
   */
  async lose(digest: Digest): Promise<void> {
    await this.#store.catalog.deltas.lose(digest);
  }

  /**
   * Records what came of making a delta; one that was made must have been written.
   * @throws StoreError; Error if what was written is not that delta
   */
  async end(delta: PendingDelta, outcome: DeltaOutcome): Promise<void> {
    const writer = this.#writer;
    try {
      if (outcome.kind === 'made') {
        if (writer === undefined) throw new TypeError('no delta was written');
        await writer.end();
      }
    } finally {
      this.#writer = undefined;
    }
    await this.#store.catalog.deltas.record(delta, outcome, this.#manner);
  }
}
