/** Fetches the pictures of all indexes in the background, one index after another. */
import type { Digest } from '../../registry/digest.ts';
import type { Blobs } from '../../store/blobs.ts';
import { StoreError } from '../../store/store-error.ts';
import { messageOf } from '../../system/message-of.ts';
import { type FetchFile, PictureKeeper } from './picture-keeper.ts';

/** Options of {@link Pictures}. */
export interface PicturesOptions {
  readonly blobs: Blobs;
  readonly fetch: FetchFile;
  readonly onWarning: (message: string) => void;
  /** Returns the list that was stored last for an index, as {@link PictureKeeper.list}. */
  readonly storedList: (index: string) => Promise<Digest | undefined>;
}

/** The pictures of all indexes whose screenshots are served from here. */
export class Pictures {
  readonly #options: PicturesOptions;
  readonly #keepers = new Map<string, Promise<PictureKeeper>>();
  readonly #ending = new AbortController();
  #fetching: Promise<void> = Promise.resolve();

  constructor(options: PicturesOptions) {
    this.#options = options;
  }

  /**
   * Returns the list of an index's pictures; `undefined` if there are none.
   * @throws StoreError
   */
  async list(index: string): Promise<Digest | undefined> {
    return (await this.#keeperOf(index)).list;
  }

  /**
   * Returns the digests of all blobs that these indexes use.
   * @throws StoreError
   */
  async digests(indexes: readonly string[]): Promise<ReadonlySet<Digest>> {
    const keepers = await Promise.all(indexes.map((index) => this.#keeperOf(index)));
    return new Set(keepers.flatMap(({ digests }) => [...digests]));
  }

  /**
   * Fetches what an index wants and does not have yet, after what was requested before.
   * @param onChanged called whenever its list has changed
   */
  request(index: string, wanted: ReadonlySet<string>, onChanged: () => void): void {
    const { signal } = this.#ending;
    this.#fetching = this.#fetching
      .then(async () => {
        if (signal.aborted) return;
        await (await this.#keeperOf(index)).update(wanted, { signal, onChanged });
      })
      .catch((error: unknown) => {
        // A store that fails is told of by the next rebuild.
        if (!signal.aborted && !(error instanceof StoreError)) this.#options.onWarning(messageOf(error));
      });
  }

  /** Resolves when all that was requested has been fetched. */
  settled(): Promise<void> {
    return this.#fetching;
  }

  /** Stops fetching. */
  async stop(): Promise<void> {
    this.#ending.abort(new Error('the indexer is closed'));
    await this.#fetching;
  }

  #keeperOf(index: string): Promise<PictureKeeper> {
    const { blobs, fetch, onWarning, storedList } = this.#options;
    let keeper = this.#keepers.get(index);
    if (keeper === undefined) {
      keeper = storedList(index).then((list) => PictureKeeper.open({ index, blobs, fetch, onWarning }, list));
      keeper.catch(() => this.#keepers.delete(index));
      this.#keepers.set(index, keeper);
    }
    return keeper;
  }
}
