/** Reads a YAML document by a schema: replaces variables, fills in defaults, and gathers every problem with its place. */
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
import { Check } from 'typebox/schema';
import { isMap, isScalar, isSeq, type Node, type Scalar } from 'yaml';
import { annotationsOf } from './annotations.ts';
import { configKeys } from './config-keys.ts';
import { MappingReader, offsetOf, type Entry, type Mapping } from './mapping.ts';
import { pathText, shown, type KeyPath } from './problem.ts';
import type { ProblemList } from './problem-list.ts';
import { replaceVariables, type Environment } from './replace-variables.ts';
import { plainReadings, scalarReadings } from './scalar-readings.ts';
import { fileFault, outputFault } from './text-file.ts';
import { displayed, expected, kindFault, quoteFault, valueFault } from './value-fault.ts';
import type { YamlFile } from './yaml-file.ts';

/** Reads one document. */
export class ConfigReader {
  readonly #file: YamlFile;
  readonly #folder: string;
  readonly #environment: Environment;
  readonly #problems: ProblemList;
  readonly #mappings: MappingReader;
  readonly #names = new Map<string, readonly string[]>();

  /** Relative paths start at `folder`. */
  constructor(file: YamlFile, folder: string, environment: Environment, problems: ProblemList) {
    this.#file = file;
    this.#folder = folder;
    this.#environment = environment;
    this.#problems = problems;
    this.#mappings = new MappingReader(file, problems);
  }

  /** What the document says, by `schema`; paths are absolute. What is wrong is left out, with a problem for each. */
  read(schema: TSchema): unknown {
    return this.#read(schema, this.#file.document.contents, []);
  }

  /** The keys of the record at `path` in the order of the file, which JavaScript's objects do not keep for numbers. */
  names(path: KeyPath): readonly string[] {
    return this.#names.get(pathText(path)) ?? [];
  }

  #read(schema: TSchema, written: Node | null, path: KeyPath): unknown {
    const node = this.#mappings.follow(written, path);
    if (node === undefined) return undefined;
    const branch = branchFor(schema, node);
    if (IsObject(branch)) return this.#readObject(branch, node, path);
    if (IsRecord(branch)) return this.#readRecord(branch, node, path);
    if (IsArray(branch)) return this.#readArray(branch, node, path);
    if (isScalar(node) && node.value !== null) return this.#readScalar(branch, node, path);
    this.#problems.add(path, kindFault(branch, node));
    return undefined;
  }

  #readObject(schema: TObject, node: Node | null, path: KeyPath): unknown {
    const entries = this.#entries(schema, node, path);
    if (entries === undefined) return undefined;
    for (const { name, offset } of entries) {
      if (Object.hasOwn(schema.properties, name)) continue;
      this.#problems.add([...path, name], annotationsOf(schema).removed?.[name] ?? `is not known here, expected ${nearestKey(name, schema)}`, offset);
    }
    const given = new Map(entries.map((entry) => [entry.name, entry]));
    return Object.fromEntries(
      Object.entries(schema.properties).flatMap(([name, property]) => {
        const entry = given.get(name);
        const isLeftOut = entry === undefined || (isDispensable(property) && this.#isEmptied(entry.value));
        const value = isLeftOut ? this.#leftOut(property, [...path, name]) : this.#readEntry(property, entry, path);
        return value === undefined ? [] : [[name, value]];
      }),
    );
  }

  #readRecord(schema: TRecord, node: Node | null, path: KeyPath): unknown {
    const written = this.#entries(schema, node, path);
    if (written === undefined) return undefined;
    const entries = this.#named(written, path);
    const { keys, minProperties = 0 } = annotationsOf(schema);
    if (entries.length < minProperties) this.#problems.add(path, `is empty, expected ${expected(schema)}`);
    this.#names.set(
      pathText(path),
      entries.map(({ name }) => name),
    );
    return Object.fromEntries(
      entries.map((entry) => {
        if (keys !== undefined && !Check(keys, entry.name)) {
          this.#problems.add([...path, entry.name], valueFault(keys, entry.name, shown(entry.name)), entry.offset);
        }
        return [entry.name, this.#readEntry(RecordValue(schema), entry, path)];
      }),
    );
  }

  /** The entries with the variables in their keys replaced; those with a problem are left out. */
  #named(entries: readonly Entry[], parent: KeyPath): readonly Entry[] {
    const named = new Map<string, Entry>();
    for (const entry of entries) {
      const { text, faults } = replaceVariables(entry.name, this.#environment);
      for (const { message } of faults) this.#problems.add([...parent, entry.name], message, entry.offset);
      if (faults.length > 0) continue;
      if (named.has(text)) this.#problems.add([...parent, text], 'is given twice, expected it once', entry.offset);
      else named.set(text, { ...entry, name: text });
    }
    return [...named.values()];
  }

  #readArray(schema: TArray, node: Node | null, path: KeyPath): unknown {
    if (!isSeq<Node>(node)) {
      this.#problems.add(path, kindFault(schema, node));
      return undefined;
    }
    if (node.items.length < (annotationsOf(schema).minItems ?? 0)) {
      this.#problems.add(path, `is empty, expected ${expected(schema)}`);
    }
    return node.items.flatMap((element, position) => {
      const offset = offsetOf(element) ?? this.#problems.placeOf(path).value;
      this.#problems.setPlace([...path, position], { key: offset, value: offset });
      const value = this.#read(schema.items, element, [...path, position]);
      return value === undefined ? [] : [value];
    });
  }

  /** The keys of a mapping; none for an empty value; `undefined` after a problem if it is something else. */
  #entries(schema: TSchema, node: Node | null, path: KeyPath): readonly Entry[] | undefined {
    if (isEmpty(node)) return [];
    if (isMap(node)) return this.#mappings.entries(node as Mapping, path);
    this.#problems.add(path, kindFault(schema, node));
    return undefined;
  }

  #readEntry(schema: TSchema, { name, offset, value }: Entry, parent: KeyPath): unknown {
    const path = [...parent, name];
    this.#problems.setPlace(path, { key: offset, value: isEmpty(value) ? offset : (offsetOf(value) ?? offset) });
    return this.#read(schema, value, path);
  }

  /** The value of a key that the file does not give. */
  #leftOut(schema: TSchema, path: KeyPath): unknown {
    const { default: preset, path: kind } = annotationsOf(schema);
    if (preset === undefined) {
      if (!isDispensable(schema)) this.#problems.add(path, `is missing, expected ${expected(schema)}`, 'key');
      return undefined;
    }
    if (IsObject(schema)) return this.#readObject(schema, null, path);
    return kind !== undefined && typeof preset === 'string' ? resolve(this.#folder, preset) : preset;
  }

  #readScalar(schema: TSchema, scalar: Scalar, path: KeyPath): unknown {
    const replaced = this.#replace(scalar, path);
    if (replaced === undefined) return undefined;
    const value = scalarReadings(scalar, replaced).find((reading) => Check(schema, reading));
    if (value === undefined) {
      const display = displayed(replaced, scalar.value);
      this.#problems.add(path, isOnlyQuoted(schema, scalar, replaced) ? quoteFault(schema, display) : valueFault(schema, replaced, display));
      return undefined;
    }
    const { path: kind } = annotationsOf(schema);
    if (kind === undefined || typeof value !== 'string') return value;
    const file = resolve(this.#folder, value);
    const fault = kind === 'any' ? undefined : kind === 'readable' ? fileFault(file) : outputFault(file);
    if (fault !== undefined) {
      const name = value === scalar.value ? shown(file) : displayed(value, scalar.value);
      this.#problems.add(path, `is ${name}, which ${fault}, expected ${expected(schema)}`);
    }
    return file;
  }

  /** The scalar's value with variables replaced; `undefined` after a problem. */
  #replace(scalar: Scalar, path: KeyPath): unknown {
    if (typeof scalar.value !== 'string') return scalar.value;
    const { text, faults } = replaceVariables(scalar.value, this.#environment);
    if (faults.length === 0) return text;
    // Where escapes hide a "${", the scalar's own place must do.
    const [start = 0, end = 0] = scalar.range ?? [];
    const variables = [...this.#file.text.slice(start, end).matchAll(/\$\{/g)];
    for (const { ordinal, message } of faults) this.#problems.add(path, message, start + (variables[ordinal]?.index ?? 0));
    return undefined;
  }

  /** A plain value that replacement leaves empty counts as not given, so that the environment can leave out a key. */
  #isEmptied(node: Node | null): boolean {
    if (!isScalar(node) || node.type !== 'PLAIN' || typeof node.value !== 'string') return false;
    const { text, faults } = replaceVariables(node.value, this.#environment);
    return text === '' && faults.length === 0;
  }
}

/** Says whether the value would be right without its quotes. */
function isOnlyQuoted(schema: TSchema, scalar: Scalar, value: unknown): boolean {
  return typeof value === 'string' && scalar.type !== 'PLAIN' && plainReadings(value).some((reading) => Check(schema, reading));
}

/** Says whether a key may be left out. */
function isDispensable(schema: TSchema): boolean {
  return IsOptional(schema) || annotationsOf(schema).default !== undefined;
}

function isEmpty(node: Node | null): boolean {
  return node === null || (isScalar(node) && node.value === null);
}

/** The branch of a union that fits the node's kind; `schema` itself where there is none. */
function branchFor(schema: TSchema, node: Node | null): TSchema {
  if (!IsUnion(schema)) return schema;
  const branch = schema.anyOf.find((each) => (isMap(node) ? IsObject(each) || IsRecord(each) : isSeq(node) && IsArray(each)));
  return branch ?? schema;
}

/** The known key that is most similar to an unknown one, and its namesakes elsewhere. */
function nearestKey(name: string, schema: TObject): string {
  const namesake = configKeys().find(({ path }) => path.endsWith(`.${name}`));
  const known = Object.keys(schema.properties);
  const similar = closest(name, known);
  // What has little in common with it is not what was meant.
  const nearest = distance(name, similar) <= Math.max(name.length, similar.length) / 2 ? `"${similar}" (the nearest known key)` : `one of ${known.join(', ')}`;
  return namesake === undefined ? nearest : `it as ${namesake.path}, or ${nearest}`;
}
