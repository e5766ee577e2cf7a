/** What one configuration has the routes answer with. The routes are there once, for every configuration: they ask for the site that is current, and a reload replaces it in one step. */
import { compile } from '@fastify/proxy-addr';
import { digestOfIconPath } from '../indexing/icon-path.ts';
import type { StoreSize } from '../store/store.ts';
import { withoutBasePath } from './base-path.ts';
import type { Publication } from './public-index.ts';
import type { PublishedIndex } from './published-index.ts';
import type { Questions } from './questions.ts';
import type { PullSource } from './routes/distribution.ts';
import type { EventRoutesOptions } from './routes/events.ts';
import { iconPrefixes, type ReadIcon } from './routes/icons.ts';
import type { RebuildEvents } from './routes/rebuild-events.ts';
import type { RegistryProxy } from './routes/registry-proxy.ts';
import type { Rebuilds, ReindexOptions } from './routes/reindex.ts';
import type { StatusOptions } from './routes/status.ts';

export interface Site {
  readonly indexes: ReadonlyMap<string, PublishedIndex>;
  readonly defaultIndex: string;
  /** Answers what is not ready. */
  readonly questions: Questions;
  readonly readIcon: ReadIcon;
  readonly iconsUri: string;
  /** What `/v2/` serves; nothing if there are none, and no proxy. */
  readonly pullSources: readonly PullSource[];
  /** A registry that is served from here where none of the sources has what is asked for. */
  readonly registryProxy: RegistryProxy | undefined;
  /** Folders of signatures, by the index whose images they sign. */
  readonly signatures: ReadonlyMap<string, string>;
  /** The path of the public URL, without a slash at its end. Requests come with it or without. */
  readonly basePath: string;
  /** Proxies whose `X-Forwarded-*` are believed: all, how many hops, or their addresses. */
  readonly trustProxy: boolean | string | readonly string[] | number;
  /** What people are shown. */
  readonly publication: Publication;
  /** The rebuilds: asked for, listed, and as they happen. */
  readonly rebuilds: Rebuilds & RebuildEvents;
  readonly reindex: ReindexOptions;
  readonly events: EventRoutesOptions;
  readonly status: StatusOptions;
  /** Measures the parts of the store. */
  readonly storeSizes: () => readonly StoreSize[];
}

/** Gives the site that answers now. Who answers a request asks once, and goes on with that one. */
export type CurrentSite = () => Site;

/** Says whether the proxy at `address` is believed, which is `hop` connections away; Fastify's `trustProxy`. */
export function trustOf({ trustProxy }: Site): (address: string, hop: number) => boolean {
  if (typeof trustProxy === 'boolean') return () => trustProxy;
  // Fastify itself believes nobody where it is given a number of hops.
  if (typeof trustProxy === 'number') return (_address, hop) => hop < trustProxy;
  return compile(typeof trustProxy === 'string' ? trustProxy.split(',').map((address) => address.trim()) : [...trustProxy]);
}

/** What a route is found by: a request's URL without the base path, and icons below `/icons/`, where every site has them. */
export function routedUrls({ basePath, iconsUri, indexes }: Site): (url: string) => string {
  const prefixes = iconPrefixes(iconsUri, indexes.keys(), basePath);
  return (asked) => {
    const url = withoutBasePath(asked, basePath);
    const path = decoded(url);
    const prefix = prefixes.find((each) => path.startsWith(each) && digestOfIconPath(path.slice(each.length)) !== undefined);
    return prefix === undefined ? url : `/icons/${path.slice(prefix.length)}`;
  };
}

function decoded(url: string): string {
  const path = url.split('?', 1)[0] ?? '';
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
