/** What signatures of an index's images must name, for clients that verify them. */
import type { Config, IndexConfig } from './config.ts';

/** Ports that Flatpak leaves out, whatever the scheme (`flatpak_oci_signatures_verify`). */
const UNNAMED_PORTS: ReadonlySet<string> = new Set(['', '80', '443']);

/** The `docker-reference` that signatures need: the registry as clients see it, and the repository. */
export function signedReference({ registryPublic }: IndexConfig): string {
  const url = URL.parse(registryPublic, registryPublic.startsWith('//') ? 'https:' : undefined);
  if (url === null) return "HOST[:PORT]/REPOSITORY, where HOST[:PORT] is this server as clients reach it (its name is known here once server.base_url is set)";
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return `${host}${UNNAMED_PORTS.has(url.port) ? '' : `:${url.port}`}/REPOSITORY`;
}

/** A warning where clients would refuse every image for the lack of a signature. */
export function signatureWarnings(index: IndexConfig): readonly string[] {
  if (index.gpgKey === undefined || index.signaturesDir !== undefined) return [];
  return [`indexes.${index.name}.gpg_key: Flatpak from 1.17 on refuses every image that is not signed, and signatures_dir is not set; set it to a folder of signatures with the docker-reference ${signedReference(index)}, or leave gpg_key out`];
}

/** What the signatures of each index that has some must name, by the index's name. */
export function signedReferences({ indexes }: Config): ReadonlyMap<string, string> {
  return new Map(indexes.flatMap((index) => (index.signaturesDir === undefined ? [] : [[index.name, signedReference(index)]])));
}
