/** Blobs of the store's files, as the main thread reads them beside the indexing thread, which may replace a file. */
import type { BlobName, BlobReader } from '../store/blobs.ts';
import type { SqliteBlobReader } from '../store/sqlite/sqlite-blobs.ts';
import { SqliteStore } from '../store/sqlite/sqlite-store.ts';

/** Reads blobs from the file that there is now; none before there is one. */
export class BlobFiles implements BlobReader {
  readonly #stateDir: string;
  #reader: SqliteBlobReader | undefined;

  constructor(stateDir: string) {
    this.#stateDir = stateDir;
  }

  async size(blob: BlobName): Promise<number | undefined> {
    return (await this.#current())?.size(blob);
  }

  async piece(blob: BlobName, position: number): Promise<Buffer | undefined> {
    return (await this.#current())?.piece(blob, position);
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.#reader?.close();
  }

  async #current(): Promise<SqliteBlobReader | undefined> {
    if (this.#reader?.isCurrent === false) {
      await this.#reader.close();
      this.#reader = undefined;
    }
    this.#reader ??= SqliteStore.openBlobs(this.#stateDir);
    return this.#reader;
  }
}
