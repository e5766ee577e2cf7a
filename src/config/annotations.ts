/** What the schema says of a key beyond JSON Schema's own keywords. */
import type { TSchema } from 'typebox';

/** Every annotation is optional: see where `schema.ts` and `rules.ts` set them. */
export interface Annotations {
  readonly description?: string;
  /** The value of a key that is left out. */
  readonly default?: unknown;
  /** What a key that is left out means, where that is no constant. */
  readonly otherwise?: string;
  /** What a value must be, in words that follow "expected". */
  readonly expected?: string;
  /** The value must not be shown, nor any part of it. */
  readonly secret?: true;
  /** A path, relative to the folder of the configuration file; `readable` if it must lead to a file that can be read now, `output` to one that may be replaced. */
  readonly path?: 'any' | 'readable' | 'output';
  /** Of a record: how its keys are called in documentation, and the rule that they follow. */
  readonly placeholder?: string;
  /** Keys that a section had once, each with what to do instead, in words that follow the key. */
  readonly removed?: Readonly<Record<string, string>>;
  readonly keys?: TSchema;
  readonly minProperties?: number;
  readonly minItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** The annotations of a schema. */
export function annotationsOf(schema: TSchema): Annotations {
  return schema;
}
