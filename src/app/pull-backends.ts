/** Backends of `/v2/`: folders of image layouts, and the proxied registry. */
import { registryOptions } from './indexing-options.ts';
import type { Config } from '../config/config.ts';
import { proxiedRegistry } from '../config/client-references.ts';
import { isWanted, wantedBy } from '../indexing/select/wanted.ts';
import type { IndexDefinition } from '../indexing/index-definition.ts';
import type { RegistryOptions } from '../registry/create-registry-source.ts';
import type { OnRequest } from '../registry/http/transport/sent-request.ts';
import { LayoutRegistrySource } from '../registry/layout/layout-registry-source.ts';
import { LAYOUT_PREFIX } from '../registry/registry-id.ts';
import type { PullSource } from '../server/site.ts';
import { RegistryProxy } from '../server/routes/distribution/registry-proxy.ts';

/** Configuration of the backends of `/v2/`. */
export interface PullBackendOptions {
  /** Folders of image layouts and the repositories to show; that of the default index first. */
  readonly layouts: readonly { readonly folder: string; readonly repositories: readonly string[] }[];
  readonly proxied?: ProxiedRegistry | undefined;
}

interface ProxiedRegistry {
  readonly registry: RegistryOptions;
  readonly passRedirects: boolean;
  /** The indexes of this registry: repositories that none of them takes are not shown. */
  readonly indexes: readonly IndexDefinition[];
}

/** The backends of `/v2/`. */
export interface PullBackends {
  readonly pullSources: readonly PullSource[];
  readonly registryProxy: RegistryProxy | undefined;
  /** Closes all connections to registries. */
  close(): Promise<void>;
}

/** Returns the options of the backends that `config` asks for. */
export function pullBackendOptions(config: Config): PullBackendOptions {
  const { indexes, defaultIndex, registries, access, server } = config;
  const ids = new Set(
    indexes
      .toSorted((a, b) => Number(b.name === defaultIndex) - Number(a.name === defaultIndex))
      .map(({ registry }) => registry),
  );
  const proxied = registries.get(proxiedRegistry(config) ?? '');
  return {
    layouts: [...ids]
      .filter((id) => id.startsWith(LAYOUT_PREFIX))
      .map((id) => ({ folder: id.slice(LAYOUT_PREFIX.length), repositories: registries.get(id)?.repositories ?? [] })),
    proxied: proxied && {
      registry: registryOptions(proxied, access),
      passRedirects: server.registryProxyRedirects === 'pass',
      indexes: indexes.filter(({ registry }) => registry === proxied.id),
    },
  };
}

/** Opens the backends; `onRequest` is called after each request to the proxied registry. */
export async function openPullBackends(
  { layouts, proxied }: PullBackendOptions,
  onRequest?: OnRequest,
): Promise<PullBackends> {
  const pullSources = layouts.map(({ folder, repositories }) => new LayoutRegistrySource(folder, { repositories }));
  if (proxied === undefined) return { pullSources, registryProxy: undefined, close: () => Promise.resolve() };
  const { registry, passRedirects, indexes } = proxied;
  // Loaded only if needed: the HTTP client is large.
  const { createUpstreamRegistry } = await import('../registry/create-registry-source.ts');
  const upstream = createUpstreamRegistry(registry, passRedirects, onRequest);
  const wanted = indexes.map((index) => wantedBy(index, (repository) => upstream.covers(repository)));
  const shows = (repository: string, tag?: string): boolean => isWanted(wanted, repository, tag);
  return {
    pullSources,
    registryProxy: new RegistryProxy({ upstream, shows, timeout: registry.timeout }),
    close: () => upstream.close(),
  };
}
