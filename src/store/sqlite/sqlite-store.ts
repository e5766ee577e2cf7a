/** The store in SQLite files below `state_dir`, one for each role: damage to one does not affect the other. */
import { existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { makeFolder } from '../../system/make-folder.ts';
import type { Settings, Store, StoreSize } from '../store.ts';
import { StoreError } from '../store-error.ts';
import { setAside } from './database.ts';
import { importEarlier } from './import-earlier.ts';
import { readPngs } from './read-pngs.ts';
import { SqliteBlobReader, SqliteBlobs } from './sqlite-blobs.ts';
import { SqliteCatalog } from './sqlite-catalog.ts';
import { SqlitePublicationReader, SqlitePublications } from './sqlite-publications.ts';

/** Receives warnings for the administrator. */
export type OnWarning = (warning: string) => void;

/** Paths of the store's files. */
export interface StoreFiles {
  readonly catalog: string;
  readonly publications: string;
  readonly blobs: string;
}

/** Returns the sizes of the store's files below `stateDir`. */
export function storeSizes(stateDir: string): readonly StoreSize[] {
  return Object.entries(storeFiles(stateDir)).map(([part, file]) => ({
    part,
    size: sizeOf(file),
    log: sizeOf(`${file}-wal`),
  }));
}

function sizeOf(file: string): number | undefined {
  try {
    return statSync(file).size;
  } catch {
    return undefined;
  }
}

/** Returns the paths of the store's files below `stateDir`. */
export function storeFiles(stateDir: string): StoreFiles {
  return filesIn(join(stateDir, 'store'));
}

function filesIn(folder: string): StoreFiles {
  return {
    catalog: join(folder, 'catalog.sqlite'),
    publications: join(folder, 'publications.sqlite'),
    blobs: join(folder, 'blobs.sqlite'),
  };
}

/**
 * Creates the folder of the store, with the data of an earlier version: whole or not at all, so that a crash does no
 * harm.
 */
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

/** A store with one writer: this object; between processes, the {@link StateLock} of `state_dir` ensures that. */
export class SqliteStore implements Store {
  readonly catalog: SqliteCatalog;
  readonly publications: SqlitePublications;
  readonly blobs: SqliteBlobs;

  private constructor(catalog: SqliteCatalog, publications: SqlitePublications, blobs: SqliteBlobs) {
    this.catalog = catalog;
    this.publications = publications;
    this.blobs = blobs;
  }

  get settings(): Settings {
    return this.catalog.settings;
  }

  /**
   * Opens the store below `stateDir`, or creates it from the data of an earlier version. A file that cannot be used is
   * set aside with a warning, and replaced by a new one.
   * @throws StoreError if it can be neither opened nor created
   */
  static open(stateDir: string, onWarning: OnWarning): SqliteStore {
    const files = storeFiles(stateDir);
    const folder = dirname(files.catalog);
    if (!existsSync(folder)) makeStore(stateDir, folder, onWarning);
    const opened: { close(): Promise<void> }[] = [];
    const keep = <T extends { close(): Promise<void> }>(part: T): T => {
      opened.push(part);
      return part;
    };
    try {
      const publications = keep(SqlitePublications.open(files.publications, onWarning));
      const blobs = keep(SqliteBlobs.open(files.blobs, onWarning));
      return new SqliteStore(SqliteCatalog.open(files.catalog, onWarning), publications, blobs);
    } catch (error) {
      for (const part of opened) void part.close();
      throw error;
    }
  }

  /**
   * Opens the publications read-only, beside the writer; `undefined` if there are none yet.
   * @throws StoreError
   */
  static openPublications(stateDir: string): SqlitePublicationReader | undefined {
    const { publications } = storeFiles(stateDir);
    return existsSync(publications) ? SqlitePublicationReader.openForReading(publications) : undefined;
  }

  /**
   * Opens the blobs read-only, beside the writer; `undefined` if there are none yet.
   * @throws StoreError
   */
  static openBlobs(stateDir: string): SqliteBlobReader | undefined {
    const { blobs } = storeFiles(stateDir);
    return existsSync(blobs) ? SqliteBlobReader.openForReading(blobs) : undefined;
  }

  /**
   * Renames a damaged file of the store, which must be closed; returns its new path.
   * @throws StoreError if that fails
   */
  static setAside(file: string): string {
    return setAside(file);
  }

  /**
   * Recovers the PNGs of publications that were set aside, as far as possible; the images of the others have to be read
   * again.
   */
  async salvage(aside: string): Promise<void> {
    if (basename(aside).startsWith(basename(storeFiles('').publications)))
      for (const pngs of readPngs(aside)) await this.publications.putPngs(pngs);
  }

  async close(): Promise<void> {
    await this.catalog.close();
    await this.publications.close();
    await this.blobs.close();
  }
}
