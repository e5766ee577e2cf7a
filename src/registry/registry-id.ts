/** How registries are named: in the catalog, in messages, and in the configuration. */
import { resolve } from 'node:path';

/** What the name of a folder with image layouts starts with. */
export const LAYOUTS = 'oci:';

/**
 * The `id` that the source for `registry` has, which is `oci:` and a folder (relative to `folder`) or a URL: the same
 * registry has one id, however it is written.
 * @throws TypeError if it is neither. The message does not quote it, since it may hold a password.
 */
export function registryId(registry: string, folder: string): string {
  if (registry.startsWith(LAYOUTS)) {
    const path = registry.slice(LAYOUTS.length);
    if (path === '') throw new TypeError('oci: needs a folder after it');
    return LAYOUTS + resolve(folder, path);
  }
  const url = URL.parse(registry);
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') throw new TypeError('a registry is a URL with http or https, or oci: and a folder');
  if (url.username || url.password) throw new TypeError("a registry's URL holds no credentials: they have keys of their own");
  if (url.search || url.hash) throw new TypeError("a registry's URL has no query and no fragment");
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/** The key of the configuration that says `key` of the registry `id`, as messages name it. */
export function registryKey(id: string, key: string): string {
  return `registries.${JSON.stringify(id)}.${key}`;
}
