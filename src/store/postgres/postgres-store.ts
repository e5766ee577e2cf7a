/** The store in a PostgreSQL database, which several replicas may share. */
import type { PoolConfig } from 'pg';
import type { Settings, Store } from '../store.ts';
import { checkDatabase } from './check-database.ts';
import { migrate } from './migrations.ts';
import { PostgresBlobs } from './postgres-blobs.ts';
import { PostgresCatalog } from './postgres-catalog.ts';
import { type Fence, PostgresDatabase } from './postgres-database.ts';
import { PostgresPublications } from './postgres-publications.ts';

/** Options of {@link PostgresStore.open}. */
export interface PostgresStoreOptions {
  /** Format of the publications that this version of the program reads and writes. */
  readonly format: string;
  readonly fence?: Fence | undefined;
  /** As for {@link PostgresPublications}. */
  readonly keepUnreadFor?: number | undefined;
}

/** {@link Store} in a PostgreSQL database, which the replica that leads opens. */
export class PostgresStore implements Store {
  readonly catalog: PostgresCatalog;
  readonly publications: PostgresPublications;
  readonly blobs: PostgresBlobs;
  readonly settings: Settings;
  readonly #database: PostgresDatabase;

  private constructor(database: PostgresDatabase, catalog: PostgresCatalog, publications: PostgresPublications) {
    this.#database = database;
    this.catalog = catalog;
    this.publications = publications;
    this.blobs = new PostgresBlobs(database);
    this.settings = {
      get: async (key) =>
        (await database.query<{ value: string }>('SELECT value FROM setting WHERE key = $1', [key]))[0]?.value,
      set: (key, value) =>
        database.write(
          'INSERT INTO setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
          [key, value],
        ),
    };
  }

  /**
   * Connects, and makes or migrates the tables.
   * @throws StoreError that says what to do
   */
  static async open(
    config: PoolConfig,
    { format, fence, keepUnreadFor }: PostgresStoreOptions,
  ): Promise<PostgresStore> {
    const database = new PostgresDatabase(config, fence);
    try {
      await checkDatabase(database);
      await migrate(database);
      const publications = new PostgresPublications(database, format, keepUnreadFor);
      return new PostgresStore(database, await PostgresCatalog.open(database), publications);
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  async checkLease(): Promise<void> {
    await this.#database.atOnce('write', async () => undefined);
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}
