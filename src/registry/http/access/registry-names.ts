/** The names under which logins for a registry are kept. */

/** Docker Hub is one registry with several names; the last is the one that its API has. */
const DOCKER_HUB = ['index.docker.io', 'docker.io', 'registry-1.docker.io'];
/** What `docker login` files Docker Hub's login under. */
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/';

/** Where in a registry a key of an auth file leads. */
export interface Place {
  readonly registry: string;
  /** A repository or a folder of repositories; empty for the whole registry. */
  readonly path: string;
}

/**
 * Reads a key of an auth file: `HOST[:PORT][/PATH]`, or an old one that is a URL, whose path means nothing.
 * @param defaultPort of the registry's protocol, which a key may name or leave out
 */
export function parsePlace(key: string, defaultPort: string): Place {
  const [, scheme, registry = '', path = ''] = /^(https?:\/\/)?([^/]*)\/?(.*)$/is.exec(key) ?? [];
  return { registry: registryName(registry, defaultPort), path: scheme === undefined ? path : '' };
}

/** One name for each registry: in lower case, without a port that need not be said. */
export function registryName(host: string, defaultPort: string): string {
  const lower = host.toLowerCase();
  const name = lower.endsWith(`:${defaultPort}`) ? lower.slice(0, -defaultPort.length - 1) : lower;
  return DOCKER_HUB.includes(name) ? 'docker.io' : name;
}

/** What a program that keeps logins is asked for, one after the other. */
export function serverNames(registry: string): readonly string[] {
  return registry === 'docker.io' ? [DOCKER_HUB_KEY, ...DOCKER_HUB] : [registry];
}

/** The port of URLs with `protocol` (`https:`) that name none. */
export function defaultPortOf(protocol: string): string {
  return protocol === 'https:' ? '443' : '80';
}
