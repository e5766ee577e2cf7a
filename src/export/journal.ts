/** Records which files an export is about to write, so that the next one knows them even if this one is killed. */
import { appendFile, readFile, rm } from 'node:fs/promises';
import { writing } from '../system/write-file.ts';

/** A file with one path in each line, as JSON. There is none after an export that has ended. */
export class Journal {
  readonly #file: string;
  /** Paths that exports have recorded that did not end. */
  readonly left: ReadonlySet<string>;

  private constructor(file: string, left: ReadonlySet<string>) {
    this.#file = file;
    this.left = left;
  }

  /** Opens the journal in `file`, which need not exist. */
  static async open(file: string): Promise<Journal> {
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      return '';
    });
    return new Journal(file, new Set(text.split('\n').flatMap(parsePath)));
  }

  /**
   * Records a path, which may be written once this resolves.
   * @throws Error with the journal's path and what to do
   */
  async record(path: string): Promise<void> {
    await writing(this.#file, () => appendFile(this.#file, `${JSON.stringify(path)}\n`));
  }

  /** Ends the journal: the list of files has all that it has. */
  async end(): Promise<void> {
    await rm(this.#file, { force: true });
  }
}

/** Returns no path for the last line if it was cut off: nothing was written for it yet. */
function parsePath(line: string): readonly string[] {
  try {
    const path: unknown = JSON.parse(line);
    return typeof path === 'string' ? [path] : [];
  } catch {
    return [];
  }
}
