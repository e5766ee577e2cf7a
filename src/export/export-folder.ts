/** The folder that an export writes: files by rename, unchanged ones left alone, others removed after a while. */
import { statSync } from 'node:fs';
import { readFile, rm, rmdir, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { JoinedDocument } from '../indexing/chunk/part.ts';
import { hasDocument, writeDocument } from '../indexing/output-files.ts';
import { compareTexts } from '../system/compare-texts.ts';
import { makeFolder } from '../system/make-folder.ts';
import { removeTemporaryFiles, writeFileAtomically } from '../system/write-file.ts';
import { ExportError } from './export-error.ts';
import { Journal } from './journal.ts';

/** File that lists the files of the last export, so that nothing else in the folder is ever removed. */
const LIST = '.regindexer.json';
/** File for what the next export need not ask again. */
export const APPS = '.regindexer-apps.json';
const JOURNAL = '.regindexer-journal';
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
  readonly #journal: Journal;
  readonly #named = new Set<string>();
  #written = 0;

  private constructor(path: string, listed: Listed, journal: Journal) {
    this.#path = path;
    this.#listed = listed;
    this.#journal = journal;
  }

  /**
   * Opens a folder, which is created if it is missing; removes temporary files of exports that were killed.
   * @throws ExportError if the first export would replace the pages of another site; the system's error
   */
  static async open(path: string): Promise<ExportFolder> {
    makeFolder(path);
    const list = await readFile(join(path, LIST), 'utf8').catch(ignoreMissing);
    if (list === undefined) {
      await requireUnused(path);
      // Files that are written from now on are an export's, also if this one is killed.
      await writeFileAtomically(join(path, LIST), Buffer.from('{}\n'));
    }
    const journal = await Journal.open(join(path, JOURNAL));
    const left = [...journal.left].filter(isInside);
    for (const [folder, paths] of Map.groupBy([LIST, APPS, ...left], dirname))
      await removeTemporaryFiles(join(path, folder), new Set(paths.map((one) => basename(one))));
    return new ExportFolder(
      path,
      { ...parseList(list), ...Object.fromEntries(left.map((one) => [one, null])) },
      journal,
    );
  }

  /** Files that exports wrote that did not end: they may be newer than what else is there. */
  get leftBehind(): ReadonlySet<string> {
    return this.#journal.left;
  }

  /** Returns the bytes of a file; `undefined` if it does not exist. */
  async read(path: string): Promise<Buffer | undefined> {
    return readFile(join(this.#path, path)).catch(ignoreMissing);
  }

  /** Returns the size of a file in bytes; `undefined` if it does not exist. */
  async sizeOf(path: string): Promise<number | undefined> {
    // An export asks for thousands of files, and has nothing else to do: a tenth of the time of `node:fs/promises`.
    return statSync(join(this.#path, path), { throwIfNoEntry: false })?.size;
  }

  /** Names a file that is there. */
  keep(path: string): void {
    this.#named.add(path);
  }

  /** Writes a file, unless it has this content. */
  async write(path: string, content: string | Uint8Array): Promise<void> {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const before = await this.read(path);
    if (before?.equals(bytes) === true) this.keep(path);
    else await this.#replace(path, () => writeFileAtomically(join(this.#path, path), bytes));
  }

  /** Writes a document, unless the file has this content. */
  async writeDocument(path: string, document: JoinedDocument): Promise<void> {
    const file = join(this.#path, path);
    if (await hasDocument(file, document)) this.keep(path);
    else await this.#replace(path, () => writeDocument(file, document));
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
    const there = await this.sizeOf(path);
    if (there !== undefined && (size === undefined || there === size)) {
      this.keep(path);
      return;
    }
    const made = content();
    const bytesOrWriter = typeof made === 'function' ? made : await made;
    await this.#replace(path, () => writeFileAtomically(join(this.#path, path), bytesOrWriter));
  }

  /** Writes a file that is the export's own, and not part of the site, unless it has this content. */
  async writeOwn(path: string, content: string): Promise<void> {
    const bytes = Buffer.from(content);
    if ((await this.read(path))?.equals(bytes) !== true) await writeFileAtomically(join(this.#path, path), bytes);
  }

  /**
   * Ends an export that has written everything. One that fails does not end: the next one knows what it wrote.
   * @param keep how long files that were exported before are kept after the last export that named them, in
   * milliseconds
   */
  async end(keep: number): Promise<FileCounts> {
    const now = Date.now();
    const listed = new Map<string, number | null>([...this.#named].map((path) => [path, null]));
    const old: string[] = [];
    for (const [path, since] of Object.entries(this.#listed)) {
      if (this.#named.has(path)) continue;
      const released = since ?? now;
      if (now - released >= keep) old.push(path);
      else listed.set(path, released);
    }
    for (const path of old) await this.#remove(path);
    const sorted = [...listed].toSorted(([one], [other]) => compareTexts(one, other));
    await this.writeOwn(LIST, `${JSON.stringify(Object.fromEntries(sorted), undefined, 1)}\n`);
    await this.#journal.end();
    return { named: this.#named.size, written: this.#written, removed: old.length };
  }

  async #replace(path: string, write: () => Promise<void>): Promise<void> {
    makeFolder(dirname(join(this.#path, path)));
    await this.#journal.record(path);
    await write();
    this.keep(path);
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
export function isInside(path: string): boolean {
  return path.split('/').every((name) => name !== '' && name !== '.' && name !== '..');
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
