/** The store in SQLite files below `state_dir`, one for each role: damage to one never stops what the other can do. */
import { existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { makeFolder } from '../../system/make-folder.ts';
import type { Store, StoreSize } from '../store.ts';
import { StoreError } from '../store-error.ts';
import { setAside } from './database.ts';
import { importEarlier } from './import-earlier.ts';
import { readPngs } from './read-pngs.ts';
import { SqliteCatalog } from './sqlite-catalog.ts';
import { SqlitePublicationReader, SqlitePublications } from './sqlite-publications.ts';

export type OnWarning = (warning: string) => void;

/** Where the files are. */
export interface StoreFiles {
  readonly catalog: string;
  readonly publications: string;
}

/** Measures the files of the store below `stateDir`. */
export function storeSizes(stateDir: string): readonly StoreSize[] {
  const { catalog, publications } = storeFiles(stateDir);
  return [
    { part: 'catalog', size: sizeOf(catalog), log: sizeOf(`${catalog}-wal`) },
    { part: 'publications', size: sizeOf(publications), log: sizeOf(`${publications}-wal`) },
  ];
}

function sizeOf(file: string): number | undefined {
  try {
    return statSync(file).size;
  } catch {
    return undefined;
  }
}

export function storeFiles(stateDir: string): StoreFiles {
  return filesIn(join(stateDir, 'store'));
}

function filesIn(folder: string): StoreFiles {
  return { catalog: join(folder, 'catalog.sqlite'), publications: join(folder, 'publications.sqlite') };
}

/** Makes the folder of the store, with what an earlier version knew: whole or not at all, so that a crash costs nothing. */
function makeStore(stateDir: string, folder: string, onWarning: OnWarning): void {
  const [earlier, unfinished] = [join(stateDir, 'catalog.sqlite'), `${folder}.unfinished`];
  const discard = (): void => rmSync(unfinished, { recursive: true, force: true });
  try {
    discard();
    if (existsSync(earlier)) {
      makeFolder(unfinished);
      if (importEarlier(earlier, filesIn(unfinished), onWarning)) return renameSync(unfinished, folder);
      discard();
    }
    makeFolder(folder);
  } catch (error) {
    discard();
    throw StoreError.fromSystem(error, folder);
  }
}

/** A store that only this object may write; the {@link StateLock} of its folder sees to that between processes. */
export class SqliteStore implements Store {
  readonly catalog: SqliteCatalog;
  readonly publications: SqlitePublications;

  private constructor(catalog: SqliteCatalog, publications: SqlitePublications) {
    this.catalog = catalog;
    this.publications = publications;
  }

  /**
   * Opens the store below `stateDir`, or makes it, from what an earlier version left there. A file that cannot be used is set aside with a
   * warning, and a new one takes its place.
   * @throws StoreError if it can neither be opened nor made.
   */
  static open(stateDir: string, onWarning: OnWarning): SqliteStore {
    const files = storeFiles(stateDir);
    const folder = dirname(files.catalog);
    if (!existsSync(folder)) makeStore(stateDir, folder, onWarning);
    const publications = SqlitePublications.open(files.publications, onWarning);
    try {
      return new SqliteStore(SqliteCatalog.open(files.catalog, onWarning), publications);
    } catch (error) {
      void publications.close();
      throw error;
    }
  }

  /** Reads what is published beside the one who writes; `undefined` if nothing was ever published. @throws StoreError */
  static openPublications(stateDir: string): SqlitePublicationReader | undefined {
    const { publications } = storeFiles(stateDir);
    return existsSync(publications) ? SqlitePublicationReader.openForReading(publications) : undefined;
  }

  /** Gives a file of the store that is closed and turned out to be damaged another name. @throws StoreError if it cannot be renamed. */
  static setAside(file: string): string {
    return setAside(file);
  }

  /** Takes over the PNGs of a file that was set aside, as far as they can be read: else their images have to be read again. */
  async salvage(aside: string): Promise<void> {
    if (basename(aside).startsWith(basename(storeFiles('').publications))) for (const pngs of readPngs(aside)) await this.publications.putPngs(pngs);
  }

  async close(): Promise<void> {
    await this.catalog.close();
    await this.publications.close();
  }
}
