/** Expands aliases, merges and variables in a YAML document, so that `toJS` and `getIn` give all that it says. */
import {
  Pair,
  Scalar,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Document,
  type LineCounter,
  type Node,
  type YAMLMap,
} from 'yaml';
import { nameOf, type KeyPath, type Problems } from './problems.ts';
import { replaceVariables, type Environment } from './replace-variables.ts';

type Mapping = YAMLMap<Node, Node | null>;
type Entries = Map<string, Pair<Node, Node | null>>;

/**
 * Expands `document` in place, whose text is `text`. A scalar with a problem has the value `undefined`; others keep in `source`
 * how they were written.
 */
export function expandDocument(
  document: Document,
  text: string,
  lines: LineCounter,
  environment: Environment,
  problems: Problems,
): void {
  const expanded = new Set<Node>();
  const open = new Set<Node>();

  /** `written`, or what it is an alias of. */
  const follow = (written: Node | null, path: KeyPath): Node | null => {
    if (!isAlias(written)) return written;
    const target = written.resolve(document);
    if (target !== undefined) return target;
    problems.add(path, 'is an alias of nothing, expected an anchor (&NAME) before it', written.range?.[0]);
    return new Scalar(undefined);
  };

  const expand = (written: Node | null, path: KeyPath): Node | null => {
    const node = follow(written, path);
    if (isAlias(written) && isScalar(node)) {
      expand(node, path);
      return Object.assign(node.clone() as Scalar, written.range && { range: written.range });
    }
    if (node === null || expanded.has(node)) return node;
    if (open.has(node)) {
      problems.add(path, 'is an alias of a value that it is part of, expected another anchor', written?.range?.[0]);
      return new Scalar(undefined);
    }
    open.add(node);
    if (isScalar(node)) node.value = replaced(node, path);
    else if (isSeq<Node | null>(node))
      node.items = node.items.map((element, position) => expand(element, [...path, position]));
    else if (isMap(node)) node.items = entriesOf(node as Mapping, path);
    open.delete(node);
    expanded.add(node);
    return node;
  };

  /** The value with variables replaced; `undefined` after a problem. */
  const replaced = (scalar: Scalar, path: KeyPath): unknown => {
    if (typeof scalar.value !== 'string') return scalar.value;
    const { text: value, faults } = replaceVariables(scalar.value, environment);
    const [start = 0, end = 0] = scalar.range ?? [];
    // Where escapes hide a "${", the scalar's own place must do.
    const variables = [...text.slice(start, end).matchAll(/\$\{/g)];
    for (const { ordinal, message } of faults) problems.add(path, message, start + (variables[ordinal]?.index ?? 0));
    return faults.length === 0 ? value : undefined;
  };

  /**
   * Each key once, as a text. Own keys win over merged ones, earlier merged ones over later (yaml.org/type/merge.html).
   */
  const entriesOf = (map: Mapping, path: KeyPath): Mapping['items'] => {
    const own: Entries = new Map();
    const merged: Entries = new Map();
    for (const { key: written, value } of map.items) {
      const offset = written.range?.[0];
      const key = follow(written, path);
      if (!isScalar(key)) {
        problems.add(path, 'has a key that is not text, expected a text', offset);
        continue;
      }
      const given = typeof key.value === 'string' ? key.value : (key.source ?? '');
      if (given === '<<' && key.type === 'PLAIN') {
        merge(value, path, merged);
        continue;
      }
      const { text: name, faults } = replaceVariables(given, environment);
      for (const { message } of faults) problems.add([...path, given], message, offset);
      const first = own.get(name);
      if (first !== undefined)
        problems.add(
          [...path, name],
          `is given twice, expected it once (the other is in line ${lines.linePos(first.key.range?.[0] ?? 0).line})`,
          offset,
        );
      if (faults.length > 0 || first !== undefined) continue;
      const scalar = new Scalar(name);
      if (written.range) scalar.range = written.range;
      own.set(name, new Pair<Node, Node | null>(scalar, expand(value, [...path, name])));
    }
    return [...new Map([...merged, ...own]).values()];
  };

  const merge = (written: Node | null, path: KeyPath, merged: Entries): void => {
    const node = follow(written, [...path, '<<']);
    if (isSeq<Node | null>(node)) for (const element of node.items) merge(element, path, merged);
    else if (isMap(node) && !open.has(node)) {
      expand(node, path);
      for (const pair of (node as Mapping).items) if (!merged.has(nameOf(pair))) merged.set(nameOf(pair), pair);
    } else if (!isScalar(node) || node.value !== undefined)
      problems.add([...path, '<<'], 'cannot be merged, expected the alias of another mapping', written?.range?.[0]);
  };

  document.contents = expand(document.contents, []);
}
