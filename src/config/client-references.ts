/** Names under which clients of an index reach its images. */
import { LAYOUT_PREFIX } from '../registry/registry-id.ts';
import type { Config, IndexConfig } from './config.ts';

/**
 * The id of the registry that `server.registry_proxy` serves; `undefined` if there is none. `oci:` folders are served
 * without it.
 */
export function proxiedRegistry({ server, indexes, defaultIndex }: Config): string | undefined {
  const registry = indexes.find(({ name }) => name === defaultIndex)?.registry;
  return server.registryProxy && registry?.startsWith(LAYOUT_PREFIX) === false ? registry : undefined;
}

/** Ports that Flatpak leaves out, whatever the scheme (`flatpak_oci_signatures_verify`). */
const UNNAMED_PORTS: ReadonlySet<string> = new Set(['', '80', '443']);

/** The `docker-reference` that signatures need: the registry as clients see it, and the repository. */
export function signedReference({ registryPublic }: IndexConfig): string {
  const url = URL.parse(registryPublic, registryPublic.startsWith('//') ? 'https:' : undefined);
  if (url === null)
    return 'HOST[:PORT]/REPOSITORY, where HOST[:PORT] is this server as clients reach it (its name is known here once server.base_url is set)';
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return `${host}${UNNAMED_PORTS.has(url.port) ? '' : `:${url.port}`}/REPOSITORY`;
}

/** The `docker-reference` of each index that has signatures, by the index's name. */
export function signedReferences({ indexes }: Config): ReadonlyMap<string, string> {
  return new Map(
    indexes.flatMap((index) => (index.signaturesDir === undefined ? [] : [[index.name, signedReference(index)]])),
  );
}
