/** Says in words why a value is not what the schema wants. */
import { IsArray, type TSchema } from 'typebox';
import { Check, Errors } from 'typebox/schema';
import { isMap, isScalar, isSeq, type Node } from 'yaml';
import { annotationsOf } from './annotations.ts';
import { shown } from './problem.ts';

/** What is wrong with a scalar that `schema` refuses, and what was expected; shows `display` if it may be shown. */
export function valueFault(schema: TSchema, value: unknown, display: string): string {
  const fault = value === '' ? 'is empty' : (ruleFault(schema, value) ?? plainFault(schema, value, display));
  return `${fault}, expected ${expected(schema)}`;
}

/** What is wrong with a text in quotes that `schema` refuses for them alone. */
export function quoteFault(schema: TSchema, display: string): string {
  return `is ${display} in quotes, expected ${expected(schema)}, without quotes`;
}

/** What a rule of `rules.ts` says of the value. */
function ruleFault(schema: TSchema, value: unknown): string | undefined {
  const [, errors] = Errors(schema, value);
  for (const error of errors) {
    if (error.keyword === '~refine' && error.params.message !== '') return error.params.message;
  }
  return undefined;
}

function plainFault(schema: TSchema, value: unknown, display: string): string {
  const isSecret = annotationsOf(schema).secret === true;
  if (typeof value === 'string') return isSecret ? 'has the wrong form' : `is ${display}`;
  const quotes = Check(schema, String(value)) ? ' without quotes' : '';
  return `is ${isSecret ? `a ${typeof value}` : display}${quotes}`;
}

/** What is wrong with a node of another kind, and what was expected. */
export function kindFault(schema: TSchema, node: Node | null): string {
  return `${kindOf(node)}, expected ${expected(schema)}`;
}

function kindOf(node: Node | null): string {
  if (isMap(node)) return 'is a mapping';
  if (isSeq(node)) return 'is a list';
  if (!isScalar(node) || node.value === null) return 'has no value';
  return typeof node.value === 'string' ? 'is a text' : `is a ${typeof node.value}`;
}

/** What `schema` wants, in words that follow "expected". */
export function expected(schema: TSchema): string {
  const own = annotationsOf(schema).expected;
  if (own !== undefined) return own;
  return IsArray(schema) ? `a list, each element ${expected(schema.items)}` : 'a mapping of keys to values';
}

/** `value` for a message; `written` instead where it holds variables, whose values may be secret. */
export function displayed(value: unknown, written: unknown): string {
  return value === written ? shown(value) : `${shown(written)} with the values of the environment`;
}
