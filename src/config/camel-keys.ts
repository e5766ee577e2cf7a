/** Names in the file are snake_case; the program's are camelCase. */

type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<CamelCase<Tail>>}` : Name;

/** `Section` with its own keys in camelCase. */
export type CamelKeys<Section> = {
  readonly [Key in keyof Section as Key extends string ? CamelCase<Key> : never]: Section[Key];
};

function camelCase(name: string): string {
  return name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** A section of the file with its own keys in camelCase. */
export function camelKeys<Section extends object>(section: Section): CamelKeys<Section> {
  const entries = Object.entries(section).map(([key, value]) => [camelCase(key), value]);
  return Object.fromEntries(entries) as CamelKeys<Section>;
}
