/** The names under which auth files and credential helpers store a registry's login. */

/** The names of Docker Hub; the last is that of its API. */
const DOCKER_HUB = ['index.docker.io', 'docker.io', 'registry-1.docker.io'];
/** The key under which `docker login` stores Docker Hub's login. */
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/';

/** The place that a key of an auth file means. */
export interface Place {
  readonly registry: string;
  /** A repository or a folder of repositories; empty for the whole registry. */
  readonly path: string;
}

/**
 * Parses a key of an auth file: `HOST[:PORT][/PATH]`, or an old one that is a URL, whose path is ignored.
 * @param defaultPort of the registry's protocol, which is removed
 */
export function parsePlace(key: string, defaultPort: string): Place {
  const [, scheme, registry = '', path = ''] = /^(https?:\/\/)?([^/]*)\/?(.*)$/is.exec(key) ?? [];
  return { registry: registryName(registry, defaultPort), path: scheme === undefined ? path : '' };
}

/** The normalised name of a registry: in lower case, without the default port, `docker.io` for Docker Hub. */
export function registryName(host: string, defaultPort: string): string {
  const lower = host.toLowerCase();
  const name = lower.endsWith(`:${defaultPort}`) ? lower.slice(0, -defaultPort.length - 1) : lower;
  return DOCKER_HUB.includes(name) ? 'docker.io' : name;
}

/** The names under which a credential helper is asked for a registry's login, in order. */
export function serverNames(registry: string): readonly string[] {
  return registry === 'docker.io' ? [DOCKER_HUB_KEY, ...DOCKER_HUB] : [registry];
}

/** The port of URLs with `protocol` (`https:`) that name none. */
export function defaultPortOf(protocol: string): string {
  return protocol === 'https:' ? '443' : '80';
}
