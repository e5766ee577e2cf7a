/** Checks a YAML document by a schema: fills in defaults, and reports each fault with its place. */
import { resolve } from 'node:path';
import { closest, distance } from 'fastest-levenshtein';
import { IsArray, IsObject, IsOptional, IsRecord, RecordValue, type TObject, type TSchema } from 'typebox';
import { Check, Errors } from 'typebox/schema';
import { Settings } from 'typebox/system';
import { Default } from 'typebox/value';
import { isScalar, type Document } from 'yaml';
import { configKeys } from './config-keys.ts';
import { shown, type KeyPath, type Problems } from './problems.ts';
import { fileFault, outputFault } from './text-file.ts';
import { annotationsOf } from './value-types.ts';

type ValidationError = ReturnType<typeof Errors>[1][number];
type Container = Record<string | number, unknown>;

/** A value and its place among the others. */
interface Spot {
  readonly path: KeyPath;
  /** `undefined` for the whole. */
  readonly parent: Container | undefined;
  readonly value: unknown;
}

/**
 * Returns what an expanded `document` says, with a problem for each value that `schema` refuses; those are left out.
 * Paths are made absolute from `folder`.
 */
export function checkValues(schema: TSchema, document: Document, folder: string, problems: Problems): unknown {
  let values: unknown = document.toJS() ?? {};
  let errors: readonly ValidationError[];
  do {
    values = Default(schema, values);
    errors = allErrors(schema, values);
  } while (errors.filter((error) => reinterpret(error, schema, values, document)).length > 0);

  const spots = oneErrorPerFault(errors).map((error) => {
    const spot = spotOf(values, error.instancePath);
    report(error, schema, spot, document, problems);
    return { ...spot, isWrong: error.keyword !== 'required' && !isNameError(error) };
  });
  // Deleting keeps the positions of other elements of a list.
  for (const { parent, path, isWrong } of spots) if (parent !== undefined && isWrong) delete parent[path.at(-1) ?? ''];
  if (!isMapping(values)) return {};
  resolvePaths(schema, values, [], { document, folder, problems });
  return values;
}

/** Says whether the name of a key that the user chose is refused. */
function isNameError({ schemaPath }: ValidationError): boolean {
  return schemaPath.endsWith('/propertyNames');
}

/** All errors; TypeBox stops at 8 otherwise. */
function allErrors(schema: TSchema, values: unknown): readonly ValidationError[] {
  const { maxErrors } = Settings.Get();
  Settings.Set({ maxErrors: Number.MAX_SAFE_INTEGER });
  try {
    return Errors(schema, values)[1];
  } finally {
    Settings.Set({ maxErrors });
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
  return [
    ...(Object.hasOwn(BOOLEANS, word) ? [BOOLEANS[word]] : []),
    ...(/^-?\d+(?:\.\d+)?$/.test(text) ? [Number(text)] : []),
  ];
}

/**
 * Replaces a refused value by another meaning of what is written there: a section without a value is empty, plain text
 * that variables leave empty is a key left out, and other plain text may be a boolean or, by a variable, a number.
 */
function reinterpret(error: ValidationError, root: TSchema, values: unknown, document: Document): boolean {
  const { path, parent, value } = spotOf(values, error.instancePath);
  const schema = schemaAt(root, error.schemaPath);
  const key = path.at(-1) ?? '';
  if (parent === undefined || isNameError(error)) return false;
  if (value === null && (IsObject(schema) || IsRecord(schema)) && !/\/anyOf\/\d+$/.test(error.schemaPath)) {
    parent[key] = {};
    return true;
  }
  const node = typeof value === 'string' ? document.getIn(path, true) : undefined;
  if (typeof value !== 'string' || !isScalar(node) || node.type !== 'PLAIN') return false;
  const isReplaced = value !== node.source;
  if (value === '' && (IsOptional(schema) || annotationsOf(schema).default !== undefined)) return delete parent[key];
  const reading = readings(value).find((each) => (typeof each === 'boolean' || isReplaced) && Check(schema, each));
  if (reading !== undefined) parent[key] = reading;
  return reading !== undefined;
}

/** Keywords of errors in what a value holds; the value itself is of the right kind. */
const INSIDE: ReadonlySet<string> = new Set(['required', 'minItems', 'minProperties']);

/** One error for each fault: of a union, those of the branch that the value's kind chooses, else the union's own. */
function oneErrorPerFault(errors: readonly ValidationError[]): readonly ValidationError[] {
  const names = errors.filter(isNameError);
  const others = errors.filter(
    (error) => !isNameError(error) && error.keyword !== 'additionalProperties' && error.keyword !== 'propertyNames',
  );
  const holders = new Set(
    others.flatMap(({ keyword, instancePath }) => [
      ...parentsOf(instancePath),
      ...(INSIDE.has(keyword) ? [instancePath] : []),
    ]),
  );
  const own = new Map<string, ValidationError>();
  for (const error of others) {
    const { keyword, instancePath, schemaPath } = error;
    const other = own.get(instancePath);
    if (INSIDE.has(keyword) || holders.has(instancePath)) continue;
    if (other === undefined || other.schemaPath.length > schemaPath.length) own.set(instancePath, error);
  }
  return [...names, ...others.filter(({ keyword }) => INSIDE.has(keyword)), ...own.values()];
}

function parentsOf(pointer: string): readonly string[] {
  return [...pointer.matchAll(/\//g)].map(({ index }) => pointer.slice(0, index));
}

/** Adds the problem that `error` stands for. */
function report(
  error: ValidationError,
  root: TSchema,
  { path, value }: Spot,
  document: Document,
  problems: Problems,
): void {
  const schema = schemaAt(root, error.schemaPath);
  const name = String(path.at(-1));
  if (error.keyword === 'boolean') {
    const section = schemaAt(root, error.schemaPath.replace(/\/additionalProperties$/, '')) as TObject;
    problems.add(
      path,
      annotationsOf(section).removed?.[name] ?? `is not known here, expected ${nearestKey(name, section)}`,
      'key',
    );
  } else if (error.keyword === 'required') {
    for (const key of error.params.requiredProperties) {
      const missing = (schema as TObject).properties[key] ?? {};
      // Defaults are not filled in where the branch of a union has other faults.
      if (annotationsOf(missing).default === undefined)
        problems.add([...path, key], `is missing, expected ${expected(missing)}`, 'key');
    }
  } else if (isNameError(error)) {
    problems.add(path, `${scalarFault(schema, name, shown(name))}, expected ${expected(schema)}`, 'key');
  } else if (value === undefined) {
    // A problem of it was found before: see expandDocument.
  } else if (INSIDE.has(error.keyword)) {
    problems.add(path, `is empty, expected ${expected(schema)}`);
  } else if (typeof value === 'object' || IsObject(schema) || IsRecord(schema) || IsArray(schema)) {
    problems.add(path, `${kindOf(value)}, expected ${expected(schema)}`);
  } else {
    const node = document.getIn(path, true);
    const display = displayed(value, isScalar(node) ? node : undefined);
    const isQuoted = typeof value === 'string' && isScalar(node) && node.type !== 'PLAIN';
    if (isQuoted && readings(value).some((reading) => Check(schema, reading))) {
      problems.add(path, `is ${display} in quotes, expected ${expected(schema)}, without quotes`);
    } else problems.add(path, `${scalarFault(schema, value, display)}, expected ${expected(schema)}`);
  }
}

function scalarFault(schema: TSchema, value: unknown, display: string): string {
  if (value === '') return 'is empty';
  const rule = allErrors(schema, value).find((error) => error.keyword === '~refine' && error.params.message !== '');
  if (rule?.keyword === '~refine') return rule.params.message;
  const isSecret = annotationsOf(schema).secret === true;
  if (typeof value === 'string') return isSecret ? 'is not valid' : `is ${display}`;
  return `is ${isSecret ? `a ${typeof value}` : display}${Check(schema, String(value)) ? ' without quotes' : ''}`;
}

function kindOf(value: unknown): string {
  if (value === null) return 'has no value';
  if (typeof value === 'object') return Array.isArray(value) ? 'is a list' : 'is a mapping';
  return typeof value === 'string' ? 'is a text' : `is a ${typeof value}`;
}

/** Says what `schema` accepts, in words that follow "expected". */
function expected(schema: TSchema): string {
  return (
    annotationsOf(schema).expected ??
    (IsArray(schema) ? `a list, each element ${expected(schema.items)}` : 'a mapping of keys to values')
  );
}

/** `value` for a message; as it is written where it holds variables, whose values may be secret. */
function displayed(value: unknown, node: { readonly source?: string } | undefined): string {
  return typeof value !== 'string' || node === undefined || value === node.source
    ? shown(value)
    : `${shown(node.source)} with the values of the environment`;
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

interface Files {
  readonly document: Document;
  readonly folder: string;
  readonly problems: Problems;
}

/** Makes paths absolute, and adds a problem for each file that cannot be used. No list holds paths. */
function resolvePaths(schema: TSchema, values: unknown, path: KeyPath, files: Files): void {
  if (!isMapping(values) || !(IsObject(schema) || IsRecord(schema))) return;
  for (const [key, value] of Object.entries(values)) {
    const inner = IsRecord(schema) ? RecordValue(schema) : schema.properties[key];
    if (inner === undefined) continue;
    resolvePaths(inner, value, [...path, key], files);
    const { path: kind } = annotationsOf(inner);
    if (kind === undefined || typeof value !== 'string') continue;
    const file = resolve(files.folder, value);
    const fault = kind === 'any' ? undefined : kind === 'readable' ? fileFault(file) : outputFault(file);
    const node = files.document.getIn([...path, key], true);
    const name = isScalar(node) && value !== node.source ? displayed(value, node) : shown(file);
    if (fault !== undefined)
      files.problems.add([...path, key], `is ${name}, which ${fault}, expected ${expected(inner)}`);
    values[key] = file;
  }
}

function isMapping(value: unknown): value is Container {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The keys of a JSON pointer. */
function keysOf(pointer: string): readonly string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function schemaAt(root: TSchema, pointer: string): TSchema {
  return keysOf(pointer).reduce((schema, key) => (schema as Readonly<Record<string, TSchema>>)[key] ?? {}, root);
}

function spotOf(values: unknown, pointer: string): Spot {
  let spot: Spot = { path: [], parent: undefined, value: values };
  for (const key of keysOf(pointer)) {
    const parent = spot.value as Container;
    spot = {
      path: [...spot.path, Array.isArray(parent) ? Number(key) : key],
      parent,
      value: Object.hasOwn(parent, key) ? parent[key] : undefined,
    };
  }
  return spot;
}
