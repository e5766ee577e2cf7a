/** Makes what reads a registry: its source, and what reads it for clients. */
import { HttpRegistrySource } from './http/http-registry-source.ts';
import { HttpPuller } from './http/upstream.ts';
import type { AccessOptions } from './http/access/access-options.ts';
import type { OnRequest } from './http/transport/sent-request.ts';
import { LayoutRegistrySource } from './layout/layout-registry-source.ts';
import { LAYOUTS } from './registry-id.ts';
import type { RegistrySource } from './registry-source.ts';

/** Plain values, which can be sent to a thread. */
export interface RegistryOptions extends AccessOptions {
  /** As `registryId` gives it. */
  readonly id: string;
  /** Requests at once, at most; how many there are is found. */
  readonly concurrency: number;
  /** There are always as many at once as may be: to compare with. */
  readonly fixedConcurrency?: boolean | undefined;
  /** For one request as a whole, in milliseconds. */
  readonly timeout: number;
  /** Names, which need no catalog, and globs of names in the catalog; without any, all that is in the catalog. */
  readonly repositories?: readonly string[] | undefined;
  /** Says to the registry who asks. */
  readonly userAgent?: string | undefined;
  /** The longest pauses before the second and each further attempt of a request, in milliseconds. */
  readonly pauses?: readonly number[] | undefined;
}

const CERTS_DIRS = ['/etc/containers/certs.d', '/etc/docker/certs.d'];

/**
 * A source whose `id` is that of the options.
 * @throws TypeError if the id names no registry.
 */
export function createRegistrySource({ id, ...options }: RegistryOptions, onRequest?: OnRequest): RegistrySource {
  if (id.startsWith(LAYOUTS)) return new LayoutRegistrySource(id.slice(LAYOUTS.length), { repositories: options.repositories });
  return new HttpRegistrySource({ url: id, certsDirs: CERTS_DIRS, onRequest, ...options });
}

/**
 * What reads the registry of the options, which has a URL, for clients.
 * @param passRedirects redirects to another origin are answers, rather than followed
 * @throws TypeError if the id is no URL of a registry.
 */
export function createPuller({ id, pauses: _pauses, ...options }: RegistryOptions, passRedirects: boolean, onRequest?: OnRequest): HttpPuller {
  return new HttpPuller({ url: id, certsDirs: CERTS_DIRS, passRedirects, onRequest, ...options });
}
