/** The keys of YAML mappings, with aliases followed and merges (`<<`) made. */
import { isAlias, isMap, isScalar, isSeq, type Node, type YAMLMap } from 'yaml';
import type { KeyPath } from './problem.ts';
import type { ProblemList } from './problem-list.ts';
import type { YamlFile } from './yaml-file.ts';

/** A key with its value. */
export interface Entry {
  readonly name: string;
  /** Where the key stands in the text. */
  readonly offset: number;
  readonly value: Node | null;
}

export type Mapping = YAMLMap<Node, Node | null>;

/** Where `node` starts in the text. */
export function offsetOf(node: Node | null): number | undefined {
  return node?.range?.[0];
}

/** Takes mappings of one file apart. */
export class MappingReader {
  readonly #file: YamlFile;
  readonly #problems: ProblemList;

  constructor(file: YamlFile, problems: ProblemList) {
    this.#file = file;
    this.#problems = problems;
  }

  /** `node`, or what it is an alias of; `undefined` after a problem. */
  follow(node: Node | null, path: KeyPath): Node | null | undefined {
    if (!isAlias(node)) return node;
    const target = node.resolve(this.#file.document);
    if (target === undefined) {
      this.#problems.add(path, 'is an alias of nothing, expected an anchor (&NAME) before it', offsetOf(node));
    }
    return target;
  }

  /** The keys of `map`, each once. Own keys win over merged ones, earlier merged ones over later (yaml.org/type/merge.html). */
  entries(map: Mapping, path: KeyPath, within: ReadonlySet<Node> = new Set()): readonly Entry[] {
    const own = new Map<string, Entry>();
    const merged: Entry[] = [];
    for (const { key: written, value } of map.items) {
      const offset = offsetOf(written);
      const key = this.follow(written, path);
      if (key === undefined) continue;
      if (!isScalar(key)) {
        this.#problems.add(path, 'has a key that is not text, expected a text', offset);
        continue;
      }
      const name = typeof key.value === 'string' ? key.value : (key.source ?? '');
      const first = own.get(name);
      if (name === '<<' && key.type === 'PLAIN') {
        merged.push(...this.#merge(value, [...path, name], new Set([...within, map])));
      } else if (first === undefined) {
        own.set(name, { name, offset: offset ?? 0, value });
      } else {
        const { line } = this.#file.lines.linePos(first.offset);
        this.#problems.add([...path, name], `is given twice, expected it once (the other is in line ${line})`, offset);
      }
    }
    return [...new Map([...merged.toReversed().map((entry) => [entry.name, entry] as const), ...own]).values()];
  }

  #merge(written: Node | null, path: KeyPath, within: ReadonlySet<Node>): readonly Entry[] {
    const node = this.follow(written, path);
    if (node === undefined) return [];
    if (isSeq<Node>(node)) return node.items.flatMap((element) => this.#merge(element, path, within));
    if (isMap(node) && !within.has(node)) return this.entries(node as Mapping, path.slice(0, -1), within);
    this.#problems.add(path, 'cannot be merged, expected the alias of another mapping', offsetOf(written));
    return [];
  }
}
