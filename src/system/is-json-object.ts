/** Objects of unknown shape in JSON that others wrote. */

/** Keys may be any text, even `__proto__`: never assign them to a plain object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Says whether `value` is a JSON object: neither an array nor null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
