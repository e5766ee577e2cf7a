/** Checks a YAML document by a schema: fills in defaults, and reports each fault with its place. */
import { resolve } from 'node:path';
import { closest, distance } from 'fastest-levenshtein';
import {
  IsArray,
  IsObject,
  IsOptional,
  IsRecord,
  IsUnion,
  RecordValue,
  type TArray,
  type TObject,
  type TRecord,
  type TSchema,
} from 'typebox';
import { Check, Errors } from 'typebox/schema';
import { isMap, isScalar, isSeq, type Document, type Node, type Pair, type Scalar } from 'yaml';
import { configKeys } from './config-keys.ts';
import { isNull, nameOf, shown, type KeyPath, type Problems } from './problems.ts';
import { fileFault } from './text-file.ts';
import { annotationsOf } from './value-types.ts';

type Value = Node | null | undefined;
type Pairs = readonly Pair<Node, Node | null>[];

/**
 * Returns what an expanded `document` says, with a problem for each value that `schema` refuses; those are left out.
 * Paths are made absolute from `folder`.
 */
export function checkValues(schema: TSchema, document: Document, folder: string, problems: Problems): unknown {
  return new ValueReader(folder, problems).read(schema, document.contents, []) ?? {};
}

class ValueReader {
  readonly #folder: string;
  readonly #problems: Problems;

  constructor(folder: string, problems: Problems) {
    this.#folder = folder;
    this.#problems = problems;
  }

  /** The value at `path`; `undefined` if it is wrong or left out. Of a union, the branch of its kind decides. */
  read(schema: TSchema, node: Value, path: KeyPath): unknown {
    const branches = IsUnion(schema) ? schema.anyOf : [schema];
    // A section whose keys are all commented out is empty.
    const pairs: Pairs | undefined = isMap<Node, Node | null>(node)
      ? node.items
      : isNull(node) && !IsUnion(schema)
        ? []
        : undefined;
    const [section, record, list] = [branches.find(IsObject), branches.find(IsRecord), branches.find(IsArray)];
    if (pairs && section) return this.#readSection(section, pairs, path);
    if (pairs && record) return this.#readRecord(record, pairs, path);
    if (list && isSeq<Node | null>(node)) return this.#readList(list, node.items, path);
    return this.#readScalar(schema, node, path);
  }

  #readSection(schema: TObject, pairs: Pairs, path: KeyPath): unknown {
    const given = new Map(pairs.map((pair) => [nameOf(pair), pair.value]));
    for (const name of given.keys()) {
      if (Object.hasOwn(schema.properties, name)) continue;
      const fault = annotationsOf(schema).removed?.[name] ?? `is not known here, expected ${nearestKey(name, schema)}`;
      this.#problems.add([...path, name], fault, 'key');
    }
    const values = fromEntries(Object.entries(schema.properties), ([name, key]) => [
      name,
      given.has(name) ? this.read(key, given.get(name), [...path, name]) : this.#leftOut(key, [...path, name]),
    ]);
    for (const [name, message] of combinationFaults(schema, values))
      this.#problems.add([...path, name], message, 'key');
    return values;
  }

  #readRecord(schema: TRecord, pairs: Pairs, path: KeyPath): unknown {
    const { propertyNames: names, minProperties = 0 } = annotationsOf(schema);
    if (pairs.length < minProperties) return this.#refuse(path, 'is empty', schema);
    return fromEntries(pairs, (pair) => {
      const name = nameOf(pair);
      if (names !== undefined && !Check(names, name))
        this.#refuse([...path, name], scalarFault(names, name, shown(name)), names, 'key');
      return [name, this.read(RecordValue(schema), pair.value, [...path, name])];
    });
  }

  /** Wrong elements leave holes, so that the others keep their positions. */
  #readList(schema: TArray, nodes: readonly Value[], path: KeyPath): unknown {
    if (nodes.length < (annotationsOf(schema).minItems ?? 0)) return this.#refuse(path, 'is empty', schema);
    const list: unknown[] = [];
    for (const [position, node] of nodes.entries()) {
      const value = this.read(schema.items, node, [...path, position]);
      if (value !== undefined) list[position] = value;
    }
    return list;
  }

  /**
   * Plain text that variables leave empty is a key left out, and other plain text may be a boolean or, by a variable, a
   * number.
   */
  #readScalar(schema: TSchema, node: Value, path: KeyPath): unknown {
    if (!isScalar(node) || IsObject(schema) || IsRecord(schema) || IsArray(schema) || node.value === null)
      return this.#refuse(path, kindFault(node), schema);
    const { value, source, type } = node;
    // A problem of it was found before: see expandDocument.
    if (value === undefined) return undefined;
    if (Check(schema, value)) return typeof value === 'string' ? this.#readPath(schema, value, node, path) : value;
    if (typeof value === 'string' && type === 'PLAIN') {
      if (value === '' && (IsOptional(schema) || annotationsOf(schema).default !== undefined))
        return this.#leftOut(schema, path);
      const reading = readings(value).find((each) => typeof each === 'boolean' || value !== source);
      if (reading !== undefined && Check(schema, reading)) return reading;
    } else if (typeof value === 'string' && readings(value).some((reading) => Check(schema, reading))) {
      return this.#refuse(path, `is ${displayed(value, node)} in quotes`, schema, 'value', ', without quotes');
    }
    return this.#refuse(path, scalarFault(schema, value, displayed(value, node)), schema);
  }

  #leftOut(schema: TSchema, path: KeyPath): unknown {
    const { default: preset } = annotationsOf(schema);
    if (preset === undefined) return IsOptional(schema) ? undefined : this.#refuse(path, 'is missing', schema, 'key');
    return IsObject(schema) ? this.#readSection(schema, [], path) : structuredClone(preset);
  }

  /** The absolute path, if `value` is a path; with a problem if the file cannot be used. */
  #readPath(schema: TSchema, value: string, node: Scalar, path: KeyPath): string {
    const { path: kind } = annotationsOf(schema);
    if (kind === undefined) return value;
    const file = resolve(this.#folder, value);
    const fault = kind === 'any' ? undefined : fileFault(file, kind);
    const name = value === node.source ? shown(file) : displayed(value, node);
    if (fault !== undefined) this.#refuse(path, `is ${name}, which ${fault}`, schema);
    return file;
  }

  #refuse(path: KeyPath, fault: string, schema: TSchema, at: 'key' | 'value' = 'value', hint = ''): undefined {
    this.#problems.add(path, `${fault}, expected ${expected(schema)}${hint}`, at);
  }
}

/** An object of what `entry` makes of each item, without values that are `undefined`. */
function fromEntries<Item>(items: readonly Item[], entry: (item: Item) => readonly [string, unknown]): object {
  return Object.fromEntries(items.map(entry).filter(([, value]) => value !== undefined));
}

/** Keys of a section that need another, or that stand beside the one whose value their file has. */
function* combinationFaults(schema: TSchema, values: object): Iterable<readonly [key: string, message: string]> {
  const { dependentRequired: needs = {} } = annotationsOf(schema);
  for (const key of Object.keys(values)) {
    for (const other of needs[key] ?? [])
      if (!Object.hasOwn(values, other))
        yield [
          key,
          `is given without ${other}, expected both${needs[other]?.includes(key) === true ? ' or neither' : ''}`,
        ];
    const [, direct = ''] = /^(.*)_file$/.exec(key) ?? [];
    if (Object.hasOwn(values, direct)) yield [key, `is given beside ${direct}, expected only one of them`];
  }
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  false: false,
  no: false,
  off: false,
};

/** Plain text as a boolean of YAML 1.1, which regindexer reads (`yes`, `off`), or as a number. */
function readings(text: string): readonly unknown[] {
  const word = text.toLowerCase();
  if (Object.hasOwn(BOOLEANS, word)) return [BOOLEANS[word]];
  return /^-?\d+(?:\.\d+)?$/.test(text) ? [Number(text)] : [];
}

function scalarFault(schema: TSchema, value: unknown, display: string): string {
  if (value === '') return 'is empty';
  const rule = Errors(schema, value)[1].find((error) => error.keyword === '~refine' && error.params.message !== '');
  if (rule?.keyword === '~refine') return rule.params.message;
  const isSecret = annotationsOf(schema).secret === true;
  if (typeof value === 'string') return isSecret ? 'is not valid' : `is ${display}`;
  return `is ${isSecret ? `a ${typeof value}` : display}${Check(schema, String(value)) ? ' without quotes' : ''}`;
}

function kindFault(node: Value): string {
  if (isNull(node)) return 'has no value';
  if (!isScalar(node)) return isSeq(node) ? 'is a list' : 'is a mapping';
  return typeof node.value === 'string' ? 'is a text' : `is a ${typeof node.value}`;
}

/** Says what `schema` accepts, in words that follow "expected". */
function expected(schema: TSchema): string {
  return (
    annotationsOf(schema).expected ??
    (IsArray(schema) ? `a list, each element ${expected(schema.items)}` : 'a mapping of keys to values')
  );
}

/** `value` for a message; as it is written where it holds variables, whose values may be secret. */
function displayed(value: unknown, { source }: Scalar): string {
  return typeof value !== 'string' || value === source
    ? shown(value)
    : `${shown(source)} with the values of the environment`;
}

/** The known key that is most similar to an unknown one, and keys of its name elsewhere. */
function nearestKey(name: string, schema: TObject): string {
  const namesake = configKeys().find(({ path }) => path.endsWith(`.${name}`));
  const known = Object.keys(schema.properties);
  const similar = closest(name, known);
  // A key that has little in common with it was not meant.
  const nearest =
    distance(name, similar) <= Math.max(name.length, similar.length) / 2
      ? `"${similar}" (the nearest known key)`
      : `one of ${known.join(', ')}`;
  return namesake === undefined ? nearest : `it as ${namesake.path}, or ${nearest}`;
}
