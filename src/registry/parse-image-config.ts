/** Reads image configs (OCI image-spec, config.md). */
import { isPlainText, malformed, optionalObject, parseJsonObject, stringRecord } from './json-object.ts';
import type { ImageConfig } from './manifest.ts';

/**
 * Parses an image config; `undefined` if it does not name a platform, as in configs of artifacts.
 * @throws RegistryError `malformed` if it does not have the specification's shape.
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig | undefined {
  const document = parseJsonObject(bytes);
  const os = platformName(document.os, 'os');
  const architecture = platformName(document.architecture, 'architecture');
  if (os === undefined || architecture === undefined) return undefined;
  return { os, architecture, labels: stringRecord(optionalObject(document.config, 'config').Labels, 'config.Labels') };
}

/** The most characters of the name of an architecture or operating system; Go's longest has 9. */
const MAX_PLATFORM_NAME = 64;

function platformName(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null || value === '' || value === 'unknown') return undefined;
  if (typeof value !== 'string' || !isPlainText(value)) throw malformed(path, 'a string');
  if (value.length > MAX_PLATFORM_NAME) throw malformed(path, `a name of at most ${MAX_PLATFORM_NAME} characters`);
  return value;
}
