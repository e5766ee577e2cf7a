/** A copy of publications in a file that may be lost at any time, so that no caller has to care what happens to it. */
import { dirname } from 'node:path';
import { makeFolder } from '../../system/make-folder.ts';
import { messageOf } from '../../system/message-of.ts';
import { removeDatabase } from '../sqlite/database.ts';
import { SqlitePublications } from '../sqlite/sqlite-publications.ts';
import { StoreError } from '../store-error.ts';

/** Time until a file that failed is used again, in milliseconds. */
const PAUSE = 60_000;

/** Options of {@link PublicationsCopy}. */
export interface PublicationsCopyOptions {
  readonly file: string;
  /** Format of the publications; those of another one are removed when the file is opened. */
  readonly format: string;
  /** Time until a file that failed is used again, in milliseconds; {@link PAUSE} unless given. */
  readonly pause?: number | undefined;
  /** Called once when something fails, and again only after {@link PublicationsCopy.recovered}. */
  readonly onWarning: (warning: string) => void;
  /** Called when the file was left, perhaps to be replaced by an empty one. */
  readonly onLeft: () => void;
}

/** Result of reading the copy. */
export interface CopyRead<T> {
  /** `undefined` if the copy does not have it, or cannot be read. */
  readonly value?: T | undefined;
  /** Replaces the file by an empty one; only if what was read is damaged. */
  readonly replace?: () => Promise<void>;
}

/** Copy of publications. No method rejects. */
export class PublicationsCopy {
  readonly #options: PublicationsCopyOptions;
  readonly #pauseTime: number;
  #publications: SqlitePublications | undefined;
  /** Until this time of `performance.now()`, nothing is written, and no file is opened. */
  #pausedUntil = 0;
  #lastRemoved = -Infinity;
  #warned = false;
  #closed = false;

  constructor(options: PublicationsCopyOptions) {
    this.#options = options;
    this.#pauseTime = options.pause ?? PAUSE;
  }

  /** Whether it takes anything at the moment, as far as is known. */
  get isWritable(): boolean {
    return !this.#closed && performance.now() >= this.#pausedUntil;
  }

  /** Runs `read`, which must do nothing but read the copy. */
  async read<T>(read: (publications: SqlitePublications) => Promise<T>): Promise<CopyRead<T>> {
    const publications = this.#opened();
    if (publications === undefined) return {};
    try {
      return { value: await read(publications) };
    } catch (error) {
      if (isDamage(error)) return { replace: () => this.#replace(publications, error) };
      this.#pause(error);
      return {};
    }
  }

  /** Runs `write`, which must do nothing but write the copy; returns whether it succeeded. */
  async write(write: (publications: SqlitePublications) => Promise<void>): Promise<boolean> {
    if (!this.isWritable) return false;
    let publications: SqlitePublications | undefined;
    try {
      // Somebody may have removed the file.
      if (this.#publications?.isCurrent === false) await this.#leave();
      publications = this.#opened();
      if (publications === undefined) return false;
      await write(publications);
      return true;
    } catch (error) {
      if (publications !== undefined && isDamage(error)) await this.#replace(publications, error);
      else this.#pause(error);
      return false;
    }
  }

  /** Replaces the file by an empty one, because it is damaged. */
  async discard(damage: Error): Promise<void> {
    if (this.#publications !== undefined) await this.#replace(this.#publications, damage);
  }

  /** Says that everything works again: the next failure is warned of. */
  recovered(): void {
    this.#warned = false;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#leave();
  }

  #opened(): SqlitePublications | undefined {
    if (this.#publications !== undefined || !this.isWritable) return this.#publications;
    const { file, format } = this.#options;
    try {
      makeFolder(dirname(file));
      this.#publications = SqlitePublications.openCopy(file, format, (warning) => this.#warn(warning));
    } catch (error) {
      if (isDamage(error)) this.#remove(error);
      else this.#pause(error);
    }
    return this.#publications;
  }

  async #leave(): Promise<void> {
    const publications = this.#publications;
    this.#publications = undefined;
    this.#options.onLeft();
    await publications?.close().catch(() => undefined);
  }

  /** Replaces the file, unless that was done since it was read. */
  async #replace(publications: SqlitePublications, damage: unknown): Promise<void> {
    if (this.#publications !== publications) return;
    await this.#leave();
    this.#remove(damage);
  }

  #remove(damage: unknown): void {
    const { file } = this.#options;
    const now = performance.now();
    // On a failing disk, each new file is filled from the database.
    if (now - this.#lastRemoved < this.#pauseTime) this.#pausedUntil = now + this.#pauseTime;
    this.#lastRemoved = now;
    try {
      removeDatabase(file);
      this.#warn(`${file} was damaged (${messageOf(damage)}): it was removed, and will be filled again`);
    } catch (error) {
      this.#pause(error);
    }
  }

  #pause(error: unknown): void {
    // It was closed or replaced meanwhile.
    if (error instanceof StoreError && error.code === 'closed') return;
    this.#pausedUntil = performance.now() + this.#pauseTime;
    this.#warn(`${messageOf(error)}; what is not in this file is read from the database`);
  }

  #warn(warning: string): void {
    if (this.#warned) return;
    this.#warned = true;
    this.#options.onWarning(warning);
  }
}

/** Says whether the file is to blame: a damaged one may cause errors of any kind. */
function isDamage(error: unknown): boolean {
  return !(error instanceof StoreError) || error.code === 'corrupt';
}
