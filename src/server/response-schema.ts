/** Types of responses, made from their schemas: where a view and its schema differ, the program does not compile. */
import type { Static, TSchema } from 'typebox';

/** The type that `Schema` describes, as views return it. */
export type ResponseOf<Schema extends TSchema> = Frozen<Static<Schema>>;

/** `Made`, which another room makes and `Schema` must describe; `never` if it has fields that `Schema` lacks. */
export type Described<Schema extends TSchema, Made extends ResponseOf<Schema>> =
  Made extends Only<ResponseOf<Schema>, Made> ? Made : never;

/** Returns `view`, which must have exactly the fields of `schema`. Nothing is checked while the service runs. */
export function checkedResponse<Schema extends TSchema, View extends ResponseOf<Schema>>(
  _schema: Schema,
  view: View & Only<ResponseOf<Schema>, View>,
): View {
  return view;
}

type Frozen<T> = T extends readonly (infer Entry)[]
  ? readonly Frozen<Entry>[]
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T;

/**
 * `Made` with `never` in the place of each field, at any depth, that `Declared` lacks. TypeScript itself lets those of
 * a spread pass.
 */
type Only<Declared, Made> = Made extends readonly (infer Entry)[]
  ? readonly Only<Extract<Declared, readonly unknown[]>[number], Entry>[]
  : Made extends object
    ? { readonly [Key in keyof Made]: Key extends KeyOf<Declared> ? Only<FieldOf<Declared, Key>, Made[Key]> : never }
    : Made;
/** Keys of any member of a union. */
type KeyOf<T> = T extends readonly unknown[] ? never : T extends object ? keyof T : never;
/** A field of those members of a union that have it. */
type FieldOf<T, Key> = T extends object ? (Key extends keyof T ? T[Key] : never) : never;
