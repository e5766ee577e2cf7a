/** Writes indexes to files, for web servers that serve files. */
import { open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolder } from '../system/make-folder.ts';
import { inflate } from './chunk/gzip-member.ts';
import type { JoinedDocument } from './chunk/part.ts';
import { writeFileAtomically } from '../system/write-file.ts';

/** Files of indexes that are kept up to date. */
export class OutputFiles {
  /** State of each file when it was last up to date: while it is the same, the file is not read again. */
  readonly #seen = new Map<string, { readonly tag: string; readonly state: string | undefined }>();

  /**
   * Writes the document to the file at `path`, unless the file has that content already. Returns whether it was
   * written.
   * @param check called before it is written; what it throws prevents that
   * @throws Error with the path and what to do
   */
  async write(path: string, document: JoinedDocument, check?: () => Promise<void>): Promise<boolean> {
    const { tag } = document;
    const state = await stateOf(path);
    const seen = this.#seen.get(path);
    if (state !== undefined && seen?.tag === tag && seen.state === state) return false;

    const same = await hasDocument(path, document);
    if (!same) {
      await check?.();
      makeFolder(dirname(path));
      await writeDocument(path, document);
    }
    this.#seen.set(path, { tag, state: await stateOf(path) });
    return !same;
  }
}

/**
 * Writes a document to a file, whose folder must exist.
 * @throws Error with the path and what to do
 */
export async function writeDocument(path: string, document: JoinedDocument): Promise<void> {
  await writeFileAtomically(path, async (file) => {
    for (const piece of document.pieces) await file.writeFile(await inflate(piece));
  });
}

/** Returns a text that changes with every write; `undefined` if there is no file. */
async function stateOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, size, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, ctimeNs].join(' ');
  } catch (error) {
    return ignoreMissing(error);
  }
}

/** Says whether the file at `path` has the content of the document. */
export async function hasDocument(path: string, { length, pieces }: JoinedDocument): Promise<boolean> {
  const file = await open(path).catch(ignoreMissing);
  if (file === undefined) return false;
  try {
    if ((await file.stat()).size !== length) return false;
    for (const piece of pieces) {
      const expected = await inflate(piece);
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(expected.length), 0, expected.length);
      if (bytesRead !== expected.length || !buffer.equals(expected)) return false;
    }
    return true;
  } finally {
    await file.close();
  }
}

function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}
