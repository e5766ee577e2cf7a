/** Creates the readers of a registry: its source for scans, and the upstream of the registry proxy. */
import { HttpRegistrySource } from './http/http-registry-source.ts';
import { UpstreamRegistry } from './http/upstream-registry.ts';
import type { AccessOptions, RequestOptions } from './http/access/access-options.ts';
import type { OnRequest } from './http/transport/sent-request.ts';
import { LayoutRegistrySource } from './layout/layout-registry-source.ts';
import type { ListingOptions } from './listing/listing-apis.ts';
import { LAYOUT_PREFIX } from './registry-id.ts';
import type { ImageSource, RegistrySource } from './registry-source.ts';

/** Settings of one registry. Plain values, so that they can be sent to a thread. */
export interface RegistryOptions extends AccessOptions, RequestOptions {
  /** The registry's id, as `registryId` returns it. */
  readonly id: string;
  /** Names and globs of the repositories to read; all that are listed if absent or empty. Names alone need no list. */
  readonly repositories?: readonly string[] | undefined;
  /** How repositories are listed; by the registry's catalog if absent. */
  readonly listing?: ListingOptions | undefined;
}

/** Where Podman and Docker look for certificates (containers-certs.d(5)). */
const CERTS_DIRS = ['/etc/containers/certs.d', '/etc/docker/certs.d'];

/**
 * Creates the source of a registry at a URL or in a folder of image layouts.
 * @throws TypeError if the id is not that of a registry.
 */
export function createRegistrySource(
  { id, ...options }: RegistryOptions,
  onRequest?: OnRequest,
): RegistrySource & ImageSource {
  if (id.startsWith(LAYOUT_PREFIX))
    return new LayoutRegistrySource(id.slice(LAYOUT_PREFIX.length), { repositories: options.repositories });
  return new HttpRegistrySource({ url: id, certsDirs: CERTS_DIRS, onRequest, ...options });
}

/**
 * Creates the upstream through which clients read the registry at a URL.
 * @param passRedirects returns redirects to another origin as answers instead of following them
 * @throws TypeError if the id is not the URL of a registry.
 */
export function createUpstreamRegistry(
  { id, pauses: _pauses, ...options }: RegistryOptions,
  passRedirects: boolean,
  onRequest?: OnRequest,
): UpstreamRegistry {
  return new UpstreamRegistry({ url: id, certsDirs: CERTS_DIRS, passRedirects, onRequest, ...options });
}
