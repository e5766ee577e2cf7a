/** Hosts that are often taken for registries, and registries that do not list their repositories. */

const DOCKER_HUB = 'registry-1.docker.io';
const NO_REGISTRIES: ReadonlySet<string> = new Set(['docker.io', 'hub.docker.com']);
const NO_CATALOG: ReadonlySet<string> = new Set([DOCKER_HUB, 'ghcr.io']);

/** The reason why a URL is none of a registry, by what is known of its host; `undefined` if there is none. */
export function hostFault({ host, pathname }: URL): string | undefined {
  if (NO_REGISTRIES.has(host)) return `is not a registry (the one of Docker Hub is https://${DOCKER_HUB})`;
  if (NO_CATALOG.has(host) && pathname !== '/') return `has a path, where only https://${host} is a registry (an owner belongs into registries.URL.repositories, as OWNER/NAME)`;
  return undefined;
}

/** The host of a registry that lists its repositories to nobody; `undefined` for any other. */
export function hostWithoutCatalog(registry: string): string | undefined {
  const host = URL.parse(registry)?.host;
  return host !== undefined && NO_CATALOG.has(host) ? host : undefined;
}
