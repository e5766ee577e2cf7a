/** Reads JSON documents of registries and checks the types of their members. */
import { isJsonObject, type JsonObject } from '../system/is-json-object.ts';
import { RegistryError } from './registry-error.ts';

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Parses UTF-8 JSON whose root is an object.
 * @throws RegistryError `malformed` if it is not.
 */
export function parseJsonObject(bytes: Uint8Array): JsonObject {
  const value = parseJson(bytes, 'a JSON object');
  if (!isJsonObject(value)) throw malformed('the document', 'a JSON object');
  return value;
}

/**
 * Parses UTF-8 JSON whose root is an array.
 * @throws RegistryError `malformed` if it is not.
 */
export function parseJsonArray(bytes: Uint8Array): readonly unknown[] {
  return requiredArray(parseJson(bytes, 'a JSON array'), 'the document');
}

/**
 * Parses a JSON object that is secret. The error has no cause, which would quote the text.
 * @throws RegistryError `malformed` if it is not one.
 */
export function parseSecretObject(bytes: Uint8Array): JsonObject {
  try {
    return parseJsonObject(bytes);
  } catch {
    throw new RegistryError('malformed', 'expected a JSON object with a token');
  }
}

function parseJson(bytes: Uint8Array, expected: string): unknown {
  try {
    return JSON.parse(UTF8.decode(bytes));
  } catch (cause) {
    throw new RegistryError('malformed', `expected ${expected}, found text that is not JSON`, { cause });
  }
}

/**
 * `value` as an object, which is empty if `value` is absent or null.
 * @throws RegistryError `malformed` for another type.
 */
export function optionalObject(value: unknown, path: string): JsonObject {
  if (value === undefined || value === null) return {};
  if (!isJsonObject(value)) throw malformed(path, 'an object');
  return value;
}

/**
 * `value` as an array, which is empty if `value` is absent or null.
 * @throws RegistryError `malformed` for another type.
 */
export function optionalArray(value: unknown, path: string): readonly unknown[] {
  return value === undefined || value === null ? [] : requiredArray(value, path);
}

/**
 * `value` as an array.
 * @throws RegistryError `malformed` for another type.
 */
export function requiredArray(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed(path, 'an array');
  return value;
}

/**
 * `value` as annotations or labels (OCI image-spec, annotations.md), empty if absent or null; a null in it is `''`, as
 * in Go.
 * @throws RegistryError `malformed` for another type, or text that is not plain.
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

/** The text that {@link isPlainText} accepts, for messages. */
const PLAIN_TEXT = 'Unicode text without NUL';

/**
 * Says whether all clients read `text` unchanged: Flatpak rejects a whole index for one unpaired surrogate,
 * and ends a string at NUL, which could make one key look like another.
 */
export function isPlainText(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/** The error for an unexpected value at `path` of a document. */
export function malformed(path: string, expected: string): RegistryError {
  return new RegistryError('malformed', `${path}: expected ${expected}`);
}
