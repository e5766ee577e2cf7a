/** What is wrong with a configuration file, and where. */

/** The way to a value: keys, and positions in lists. */
export type KeyPath = readonly (string | number)[];

/** One thing that is wrong. Lines and columns count from 1; a fault of the whole file has no `path`. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  /** What is wrong and what was expected; never a secret. */
  readonly message: string;
}

/** `path` as a message shows it: `indexes.apps.tags[0]`. Other keys than words are quoted, without a URL's login and query. */
export function pathText(path: KeyPath): string {
  return path
    .map((key, depth) => {
      if (typeof key === 'number') return `[${key}]`;
      return (depth === 0 ? '' : '.') + (/^[\w-]+$/.test(key) ? key : shown(key.replace(/\?.*$/s, '?…')));
    })
    .join('');
}

const LONGEST_SHOWN = 80;

/** A value on one line, shortened, and without what stands before an `@`, which may be a login. */
export function shown(value: unknown): string {
  const line = typeof value === 'string' ? JSON.stringify(value.replace(/^.*@/s, '…@')) : String(value);
  return line.length > LONGEST_SHOWN ? `${line.slice(0, LONGEST_SHOWN)}…` : line;
}
