/** Which registry is served from here, and who is told so. */
import { LAYOUT_PREFIX, registryId } from '../registry/registry-id.ts';
import type { Config, IndexConfig } from './config.ts';

/** The id of the registry that `server.registry_proxy` serves; `undefined` if there is none. `oci:` folders are served without it. */
export function proxiedRegistry({ server, indexes, defaultIndex }: Config): string | undefined {
  const registry = indexes.find(({ name }) => name === defaultIndex)?.registry;
  return server.registryProxy && registry?.startsWith(LAYOUT_PREFIX) === false ? registry : undefined;
}

/** What an administrator may have overlooked: clients of the index go past the proxy, or come to it for what it does not have. */
export function proxyWarnings(config: Config, { name, registry, registryPublic }: IndexConfig): readonly string[] {
  const proxied = proxiedRegistry(config);
  const { baseUrl } = config.server;
  const here = baseUrl === undefined ? '/' : new URL(`${baseUrl}/`).href;
  const isHere = !registry.startsWith(LAYOUT_PREFIX) && registryPublic === here;
  if (proxied === undefined) {
    return isHere ? [`indexes.${name}: clients are told to download from here, where nothing serves ${registry}; set server.registry_proxy to true, unless a proxy before this server does`] : [];
  }
  if (registry === proxied && isRegistry(registryPublic, registry)) {
    return [`indexes.${name}: clients are told to download from ${proxied} itself, not through server.registry_proxy; set registry_public to / to have them download from here`];
  }
  if (registry !== proxied && isHere) {
    return [`indexes.${name}: clients are told to download from here, where server.registry_proxy serves ${proxied} and not ${registry}; leave registry_public out, or give this index a server of its own`];
  }
  return [];
}

function isRegistry(registryPublic: string, id: string): boolean {
  return URL.canParse(registryPublic) && registryId(registryPublic, '/') === id;
}
