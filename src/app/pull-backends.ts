/** What `/v2/` serves: folders of image layouts, and the registry that is proxied. */
import { registryOptions } from './indexing-options.ts';
import type { Config } from '../config/config.ts';
import { proxiedRegistry } from '../config/proxied-registry.ts';
import { isWanted, wantedBy } from '../indexing/select/wanted.ts';
import type { IndexDefinition } from '../indexing/index-definition.ts';
import type { RegistryOptions } from '../registry/create-registry-source.ts';
import type { OnRequest } from '../registry/http/transport/sent-request.ts';
import { LayoutRegistrySource } from '../registry/layout/layout-registry-source.ts';
import { LAYOUT_PREFIX } from '../registry/registry-id.ts';
import type { PullSource } from '../server/site.ts';
import { RegistryProxy } from '../server/routes/distribution/registry-proxy.ts';

export interface PullOptions {
  /** Folders of image layouts, and which of them to show, that of the default index first. */
  readonly layouts: readonly { readonly folder: string; readonly repositories: readonly string[] }[];
  readonly proxied?: ProxiedRegistry | undefined;
}

interface ProxiedRegistry {
  readonly registry: RegistryOptions;
  readonly passRedirects: boolean;
  /** Those made from it: what none of them takes is not shown. */
  readonly indexes: readonly IndexDefinition[];
}

export interface PullBackends {
  readonly pullSources: readonly PullSource[];
  readonly registryProxy: RegistryProxy | undefined;
  /** Ends all connections to registries. */
  close(): Promise<void>;
}

export function pullBackendOptions(config: Config): PullOptions {
  const { indexes, defaultIndex, registries, access, server } = config;
  const ids = new Set(indexes.toSorted((a, b) => Number(b.name === defaultIndex) - Number(a.name === defaultIndex)).map(({ registry }) => registry));
  const proxied = registries.get(proxiedRegistry(config) ?? '');
  return {
    layouts: [...ids].filter((id) => id.startsWith(LAYOUT_PREFIX)).map((id) => ({ folder: id.slice(LAYOUT_PREFIX.length), repositories: registries.get(id)?.repositories ?? [] })),
    proxied: proxied && {
      registry: registryOptions(proxied, access),
      passRedirects: server.registryProxyRedirects === 'pass',
      indexes: indexes.filter(({ registry }) => registry === proxied.id),
    },
  };
}

export async function openPullBackends({ layouts, proxied }: PullOptions, onRequest?: OnRequest): Promise<PullBackends> {
  const pullSources = layouts.map(({ folder, repositories }) => new LayoutRegistrySource(folder, { repositories }));
  if (proxied === undefined) return { pullSources, registryProxy: undefined, close: () => Promise.resolve() };
  const { registry, passRedirects, indexes } = proxied;
  // A client of HTTP is large, and not every server needs one.
  const { createUpstreamRegistry } = await import('../registry/create-registry-source.ts');
  const puller = createUpstreamRegistry(registry, passRedirects, onRequest);
  const wanted = indexes.map((index) => wantedBy(index, (repository) => puller.covers(repository)));
  const shows = (repository: string, tag?: string): boolean => isWanted(wanted, repository, tag);
  return { pullSources, registryProxy: new RegistryProxy({ puller, shows, timeout: registry.timeout }), close: () => puller.close() };
}
