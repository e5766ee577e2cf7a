/** Gathers problems while a file is read, and finds the place of each. */
import type { LineCounter } from 'yaml';
import { ConfigError } from './config-error.ts';
import { pathText, type KeyPath, type Problem } from './problem.ts';

/** Where a value stands: offsets into the text of the file. */
export interface Place {
  readonly key: number;
  readonly value: number;
}

/** The problems of one file so far. */
export class ProblemList {
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #places = new Map<string, Place>();
  readonly #problems: Problem[] = [];

  constructor(file: string, lines: LineCounter) {
    this.#file = file;
    this.#lines = lines;
  }

  /** Remembers where the value at `path` stands. */
  setPlace(path: KeyPath, place: Place): void {
    this.#places.set(pathText(path), place);
  }

  /** Where the value at `path` stands; for one that is not in the file, its nearest parent. */
  placeOf(path: KeyPath): Place {
    if (path.length === 0) return { key: 0, value: 0 };
    return this.#places.get(pathText(path)) ?? this.placeOf(path.slice(0, -1));
  }

  /** Adds a problem at the key or value of `path`, or at an offset into the text. */
  add(path: KeyPath, message: string, at: 'key' | 'value' | number = 'value'): void {
    const { line, col } = this.#lines.linePos(typeof at === 'number' ? at : this.placeOf(path)[at]);
    this.#problems.push({ file: this.#file, line, column: col, path: pathText(path), message });
  }

  /** @throws ConfigError with all problems, in the order of the file, if there are any. */
  throwIfAny(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems.toSorted((a, b) => a.line - b.line || a.column - b.column));
  }
}
