/** The folder that an export writes: files by rename, unchanged ones left alone, others removed after a while. */
import { readdir, readFile, rm, rmdir, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { JoinedDocument } from '../indexing/chunk/part.ts';
import { OutputFiles } from '../indexing/output-files.ts';
import { compareTexts } from '../system/compare-texts.ts';
import { makeFolder } from '../system/make-folder.ts';
import { TEMPORARY_SUFFIX, writeFileAtomically } from '../system/write-file.ts';
import { ExportError } from './export-error.ts';

/** File that lists the files of the last export, so that nothing else in the folder is ever removed. */
const LIST = '.regindexer.json';
/** Files of every export that people write by hand, too. */
const WRITTEN_BY_HAND = ['index.html', '_headers'];

/** Content of {@link LIST}: each file, and since when no export names it, in milliseconds since the epoch. */
type Listed = Readonly<Record<string, number | null>>;

/** Numbers of files. */
export interface FileCounts {
  /** All that the export named. */
  readonly named: number;
  readonly written: number;
  readonly removed: number;
}

/** A folder of exported files. Paths are relative to it, with `/`. */
export class ExportFolder {
  readonly #path: string;
  readonly #listed: Listed;
  readonly #named = new Set<string>();
  readonly #documents = new OutputFiles();
  #written = 0;

  private constructor(path: string, listed: Listed) {
    this.#path = path;
    this.#listed = listed;
  }

  /**
   * Opens a folder, which is created if it is missing; removes the temporary files that a crash left.
   * @throws ExportError if the first export would replace the pages of another site; the system's error
   */
  static async open(path: string): Promise<ExportFolder> {
    makeFolder(path);
    const list = await readFile(join(path, LIST), 'utf8').catch(ignoreMissing);
    if (list === undefined) {
      await requireUnused(path);
      // What is written from now on is an export's, also if this one is killed.
      await writeFileAtomically(join(path, LIST), Buffer.from('{}\n'));
    }
    for (const name of await readdir(path, { recursive: true }))
      if (name.endsWith(TEMPORARY_SUFFIX)) await rm(join(path, name), { force: true });
    return new ExportFolder(path, parseList(list));
  }

  /** Returns the bytes of a file; `undefined` if it does not exist. */
  async read(path: string): Promise<Buffer | undefined> {
    return readFile(join(this.#path, path)).catch(ignoreMissing);
  }

  /** Writes a file, unless it has this content. */
  async write(path: string, content: string | Uint8Array): Promise<void> {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const before = await this.read(path);
    if (before?.equals(bytes) === true) this.#named.add(path);
    else await this.#replace(path, bytes);
  }

  /** Writes a document, unless the file has this content. */
  async writeDocument(path: string, document: JoinedDocument): Promise<void> {
    this.#named.add(path);
    if (await this.#documents.write(join(this.#path, path), document)) this.#written++;
  }

  /**
   * Writes a file whose name says what is in it, unless it exists with this size.
   * @param size in bytes; `undefined` for any
   * @param content returns its bytes, or a function that writes them
   */
  async writeOnce(
    path: string,
    size: number | undefined,
    content: () => Promise<Uint8Array> | ((file: FileHandle) => Promise<void>),
  ): Promise<void> {
    const stats = await stat(join(this.#path, path)).catch(ignoreMissing);
    if (stats !== undefined && (size === undefined || stats.size === size)) {
      this.#named.add(path);
      return;
    }
    const its = content();
    await this.#replace(path, typeof its === 'function' ? its : await its);
  }

  /**
   * Ends an export.
   * @param keep how long files that were exported before are kept after the last export that named them, in
   * milliseconds; `undefined` after a failure, which removes nothing
   */
  async end(keep: number | undefined): Promise<FileCounts> {
    const now = Date.now();
    const counts = { named: this.#named.size, written: this.#written };
    const listed = new Map<string, number | null>([...this.#named].map((path) => [path, null]));
    const old: string[] = [];
    for (const [path, since] of Object.entries(this.#listed)) {
      if (this.#named.has(path)) continue;
      const released = since ?? (keep === undefined ? null : now);
      if (keep !== undefined && released !== null && now - released >= keep) old.push(path);
      else listed.set(path, released);
    }
    for (const path of old) await this.#remove(path);
    const sorted = [...listed].toSorted(([one], [other]) => compareTexts(one, other));
    await this.write(LIST, `${JSON.stringify(Object.fromEntries(sorted), undefined, 1)}\n`);
    return { ...counts, removed: old.length };
  }

  async #replace(path: string, content: Uint8Array | ((file: FileHandle) => Promise<void>)): Promise<void> {
    makeFolder(dirname(join(this.#path, path)));
    await writeFileAtomically(join(this.#path, path), content);
    this.#named.add(path);
    this.#written++;
  }

  /** Removes a file, and the folders that it leaves empty. */
  async #remove(path: string): Promise<void> {
    await rm(join(this.#path, path), { force: true });
    for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) {
      const isGone = await rmdir(join(this.#path, folder)).then(
        () => true,
        () => false,
      );
      if (!isGone) return;
    }
  }
}

/** @throws ExportError if the folder has a file that the first export would replace */
async function requireUnused(path: string): Promise<void> {
  for (const name of WRITTEN_BY_HAND)
    if ((await stat(join(path, name)).catch(ignoreMissing)) !== undefined)
      throw new ExportError(
        `${join(path, name)} was not written by an export, and would be replaced; move it, or name another folder`,
      );
}

/** Parses the list of the last export; empty if there is none, or somebody changed it. */
function parseList(text: string | undefined): Listed {
  try {
    const listed = JSON.parse(text ?? '{}') as Readonly<Record<string, unknown>>;
    return Object.fromEntries(
      Object.entries(listed)
        .filter(([path]) => isInside(path))
        .map(([path, since]) => [path, typeof since === 'number' ? since : null]),
    );
  } catch {
    return {};
  }
}

/** Says whether a path stays within the folder. */
function isInside(path: string): boolean {
  return path.split('/').every((name) => name !== '' && name !== '.' && name !== '..');
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
