/** Problems of a configuration file, each with its place. */
import { isMap, isScalar, isSeq, type Document, type LineCounter, type Node, type Pair } from 'yaml';

/** Keys, and positions in lists, that lead to a value. */
export type KeyPath = readonly (string | number)[];

/** One problem. Lines and columns count from 1; `path` is empty if the whole file is at fault. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  /** States the fault and what was expected; never a secret. */
  readonly message: string;
}

/**
 * All problems of a file; a line of the message for each: `FILE:LINE:COLUMN: path.to.key: what is wrong, what was
 * expected`.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[], options?: ErrorOptions) {
    super(
      problems
        .map(({ file, line, column, path, message }) =>
          [`${file}:${line}:${column}`, ...(path === '' ? [] : [path]), message].join(': '),
        )
        .join('\n'),
      options,
    );
    this.problems = problems;
  }
}

/** Collects the problems of one file and finds their places in its document. */
export class Problems {
  readonly #file: string;
  readonly #document: Document;
  readonly #lines: LineCounter;
  readonly #pairs = new WeakMap<Node, ReadonlyMap<string, Pair<Node, Node | null>>>();
  readonly #found: Problem[] = [];

  /** @param document without aliases and merges, see `expandDocument` */
  constructor(file: string, document: Document, lines: LineCounter) {
    this.#file = file;
    this.#document = document;
    this.#lines = lines;
  }

  /**
   * Adds a problem at the key or the value of `path` (its nearest parent if the file does not have it), or at an offset
   * into the text.
   */
  add(path: KeyPath, message: string, at: 'key' | 'value' | number = 'value'): void {
    const { line, col } = this.#lines.linePos(typeof at === 'number' ? at : this.#offset(path, at));
    this.#found.push({ file: this.#file, line, column: col, path: pathText(path), message });
  }

  /** @throws ConfigError with all problems in the order of the file, if there are any */
  throwIfAny(): void {
    if (this.#found.length > 0)
      throw new ConfigError(this.#found.toSorted((a, b) => a.line - b.line || a.column - b.column));
  }

  #offset(path: KeyPath, at: 'key' | 'value'): number {
    if (path.length === 0) return 0;
    const { key, value } = this.#find(path) ?? {};
    const node = at === 'value' && !isNull(value) ? value : (key ?? value);
    return node?.range?.[0] ?? this.#offset(path.slice(0, -1), at);
  }

  /** Finds a node as `getIn` does, but not by going through all keys of a mapping each time. */
  #find(path: KeyPath): { readonly key?: Node; readonly value: Node | null | undefined } | undefined {
    const name = path.at(-1);
    if (name === undefined) return { value: this.#document.contents };
    const parent = this.#find(path.slice(0, -1))?.value;
    if (isSeq<Node>(parent)) return { value: parent.items[Number(name)] };
    if (!isMap<Node, Node | null>(parent)) return undefined;
    const pairs = this.#pairs.get(parent) ?? new Map(parent.items.map((pair) => [nameOf(pair), pair]));
    this.#pairs.set(parent, pairs);
    return pairs.get(String(name));
  }
}

/** The key of a pair as a text. */
export function nameOf({ key }: Pair<Node>): string {
  return isScalar(key) ? String(key.value) : '';
}

export function isNull(node: Node | null | undefined): boolean {
  return node === null || (isScalar(node) && node.value === null);
}

/**
 * `path` as a message shows it: `indexes.apps.tags[0]`. Keys that are not words are quoted, without a URL's login and
 * query.
 */
export function pathText(path: KeyPath): string {
  return path
    .map((key, depth) => {
      if (typeof key === 'number') return `[${key}]`;
      return (depth === 0 ? '' : '.') + (/^[\w-]+$/.test(key) ? key : shown(key.replace(/\?.*$/s, '?…')));
    })
    .join('');
}

const LONGEST_SHOWN = 80;

/** A value on one line, shortened, without anything before an `@`, which may be a login. */
export function shown(value: unknown): string {
  const line = typeof value === 'string' ? JSON.stringify(value.replace(/^.*@/s, '…@')) : String(value);
  return line.length > LONGEST_SHOWN ? `${line.slice(0, LONGEST_SHOWN)}…` : line;
}
