/** Lists every key of the configuration, for documentation. */
import { IsArray, IsObject, IsOptional, IsRecord, IsUnion, RecordValue, type TSchema } from 'typebox';
import { configSchema } from './schema.ts';
import { annotationsOf } from './value-types.ts';

/** One key that has a value of its own. Texts are Markdown. */
export interface ConfigKey {
  /** With `NAME` and `URL` for keys that the user chooses, and `[]` for the elements of a list. */
  readonly path: string;
  readonly default: string;
  readonly description: string;
}

/** All keys in the order of the schema. */
export function configKeys(): readonly ConfigKey[] {
  return keysUnder(configSchema, '');
}

function keysUnder(schema: TSchema, path: string): readonly ConfigKey[] {
  const { description, default: preset, otherwise } = annotationsOf(schema);
  // A section that may be left out means nothing but its keys.
  const isGroup = (IsObject(schema) || IsRecord(schema)) && preset !== undefined && otherwise === undefined;
  const own = description === undefined || isGroup ? [] : [{ path, default: defaultText(schema), description }];
  return [...own, ...keysInside(schema, path)];
}

function keysInside(schema: TSchema, path: string): readonly ConfigKey[] {
  const prefix = path === '' ? '' : `${path}.`;
  if (IsObject(schema))
    return Object.entries(schema.properties).flatMap(([name, value]) => keysUnder(value, prefix + name));
  if (IsRecord(schema)) return keysUnder(RecordValue(schema), prefix + (annotationsOf(schema).placeholder ?? ''));
  if (IsArray(schema)) return keysInside(schema.items, `${path}[]`);
  if (IsUnion(schema)) return schema.anyOf.flatMap((branch) => keysInside(branch, path));
  return [];
}

/** Meaning of a key that is left out. */
export function defaultText(schema: TSchema): string {
  const { default: preset, otherwise } = annotationsOf(schema);
  if (otherwise !== undefined) return otherwise;
  if (preset !== undefined) return `\`${typeof preset === 'string' ? preset : JSON.stringify(preset)}\``;
  return IsOptional(schema) ? 'none' : 'required';
}
