/** The store that the configuration names: files below `state_dir`, or a database that replicas share. */
import { FORMAT } from '../indexing/chunk/part.ts';
import { connectionOf, type DatabaseAddress } from '../store/postgres/connection.ts';
import { fence, type HeldLease } from '../store/postgres/lease.ts';
import { PostgresStore } from '../store/postgres/postgres-store.ts';
import { SqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { Store } from '../store/store.ts';
import type { StoreError } from '../store/store-error.ts';
import { makeFolder } from '../system/make-folder.ts';

/** Outcome for the damaged part of a store. */
export interface Replaced {
  /** For the administrator. */
  readonly warning: string;
  /** Restores what can be, once the store is open again; then the registries have to be read again. */
  readonly restore?: () => Promise<void>;
}

/** Opens a store for writing, and replaces what is damaged. */
export interface StoreEngine {
  /** @throws StoreError */
  open(onWarning: (message: string) => void): Promise<Store>;
  /**
   * Removes or sets aside the damaged part of the store, which must be closed.
   * @throws StoreError
   */
  replace(error: StoreError): Promise<Replaced>;
}

/** Returns the engine of the files below `stateDir`; the caller must hold its lock. */
export function sqliteEngine(stateDir: string): StoreEngine {
  let store: SqliteStore | undefined;
  return {
    open: async (onWarning) => {
      makeFolder(stateDir);
      store = SqliteStore.open(stateDir, onWarning);
      return store;
    },
    replace: async ({ message, file }) => {
      const aside = SqliteStore.setAside(file);
      return {
        warning: `${message}; it was set aside as ${aside}, which you can delete`,
        restore: async () => store?.salvage(aside),
      };
    },
  };
}

/** Returns the engine of a database, written under `lease`. */
export function postgresEngine(options: DatabaseAddress, lease: HeldLease): StoreEngine {
  const open = (): Promise<PostgresStore> =>
    PostgresStore.open(connectionOf(options), {
      format: FORMAT,
      fence: (query, database) => fence(query, lease, database),
    });
  return {
    open,
    replace: async ({ message }) => {
      const store = await open();
      try {
        await store.publications.discard();
      } finally {
        await store.close();
      }
      return { warning: `${message}; what was published was removed, and is rendered from the catalog again` };
    },
  };
}
