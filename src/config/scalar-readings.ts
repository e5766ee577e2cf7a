/** What a YAML scalar may mean. */
import type { Scalar } from 'yaml';

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['yes', true],
  ['on', true],
  ['false', false],
  ['no', false],
  ['off', false],
]);

/**
 * The values that `scalar` may mean once its text was replaced by `value`, the most literal first. Plain text may mean a
 * boolean, as in YAML 1.1, which regindexer reads (`yes`, `off`), and a number if replacement made it one.
 */
export function scalarReadings(scalar: Scalar, value: unknown): readonly unknown[] {
  if (typeof value !== 'string' || scalar.type !== 'PLAIN') return [value];
  return [value, ...plainReadings(value).filter((reading) => typeof reading === 'boolean' || value !== scalar.value)];
}

/** The boolean or number that `text` means where it is plain. */
export function plainReadings(text: string): readonly (boolean | number)[] {
  const boolean = BOOLEANS.get(text.toLowerCase());
  return [...(boolean === undefined ? [] : [boolean]), ...(/^-?\d+(?:\.\d+)?$/.test(text) ? [Number(text)] : [])];
}
