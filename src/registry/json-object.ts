/** JSON documents as registries send them: bytes whose text is one object, of a shape that nobody has checked yet. */
import { RegistryError } from './registry-error.ts';

/** Keys may be any text, `__proto__` too: read them, never assign them to a plain object. */
export type JsonObject = Readonly<Record<string, unknown>>;

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** @throws RegistryError `malformed` unless `bytes` are the UTF-8 text of a JSON object. */
export function parseJsonObject(bytes: Uint8Array): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(UTF8.decode(bytes));
  } catch (cause) {
    throw new RegistryError('malformed', 'expected a JSON object, found what is no JSON', { cause });
  }
  if (!isJsonObject(value)) throw malformed('the document', 'a JSON object');
  return value;
}

/** Says whether `value` is a JSON object: no array, not null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `value`, where absent and null mean an object without members. */
export function optionalObject(value: unknown, path: string): JsonObject {
  if (value === undefined || value === null) return {};
  if (!isJsonObject(value)) throw malformed(path, 'an object');
  return value;
}

/** `value`, where absent and null mean an array without elements. */
export function optionalArray(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw malformed(path, 'an array');
  return value;
}

/**
 * Annotations or labels (OCI image-spec, annotations.md: keys and values are strings); absent and null mean none.
 * A value that is null is empty, as Go reads it.
 */
export function stringRecord(value: unknown, path: string): Readonly<Record<string, string>> {
  const entries = Object.entries(optionalObject(value, path)).map(([key, text]) => {
    const where = `${path}[${JSON.stringify(key.slice(0, 100))}]`;
    if (!isPlainText(key)) throw malformed(`the key of ${where}`, PLAIN_TEXT);
    if (text !== null && typeof text !== 'string') throw malformed(where, 'a string');
    if (text !== null && !isPlainText(text)) throw malformed(where, PLAIN_TEXT);
    return [key, text ?? ''] as const;
  });
  return Object.fromEntries(entries);
}

/** What {@link isPlainText} tells, for messages. */
const PLAIN_TEXT = 'Unicode text without NUL';

/**
 * Says whether every client reads `text` as it stands. Flatpak cannot parse a whole index because of one unpaired surrogate,
 * and ends a string at NUL, so that one key could be taken for another.
 */
export function isPlainText(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/** The error of a document in which `path` is not what was expected. */
export function malformed(path: string, expected: string): RegistryError {
  return new RegistryError('malformed', `${path}: expected ${expected}`);
}
