/** The ids of registries: in the catalog, in messages and in the configuration. */
import { resolve } from 'node:path';

/** The prefix of the id of a folder with image layouts. */
export const LAYOUT_PREFIX = 'oci:';

/**
 * The id of `registry`, which is a URL, or `oci:` and a path relative to `folder`. Different spellings give the same
 * id.
 * @throws TypeError if it is neither. The message does not quote it, because it may hold a password.
 */
export function registryId(registry: string, folder: string): string {
  if (registry.startsWith(LAYOUT_PREFIX)) {
    const path = registry.slice(LAYOUT_PREFIX.length);
    if (path === '') throw new TypeError('oci: needs a folder after it');
    return LAYOUT_PREFIX + resolve(folder, path);
  }
  const url = URL.parse(registry);
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new TypeError('a registry must be an http or https URL, or oci: and a folder');
  if (url.username || url.password)
    throw new TypeError("a registry's URL must not hold credentials: use the keys username and password");
  if (url.search || url.hash) throw new TypeError("a registry's URL must not have a query or a fragment");
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/** The full name of `key` in the configuration of the registry `id`, for messages. */
export function registryKey(id: string, key: string): string {
  return `registries.${JSON.stringify(id)}.${key}`;
}
