/** What one configuration has the routes answer with. The routes are there once, for every configuration: they ask for the site that is current, and a reload replaces it in one step. */
import type { Readable } from 'node:stream';
import { compile } from '@fastify/proxy-addr';
import { digestOfIconPath } from '../indexing/icons/icon-path.ts';
import type { Digest } from '../registry/digest.ts';
import type { Descriptor } from '../registry/manifest.ts';
import type { StoreSize } from '../store/store.ts';
import type { BusStatus } from '../triggers/bus/bus.ts';
import type { RebuildQueueEvents } from '../triggers/rebuild-queue.ts';
import type { RebuildRequest } from '../triggers/rebuild-request.ts';
import type { Rebuild } from '../triggers/rebuild.ts';
import type { ServedIndex } from './documents/served-index.ts';
import type { Questions } from './documents/questions.ts';
import type { RegistryProxy } from './routes/distribution/registry-proxy.ts';

/** What the routes need of a registry; `not-found` is a RegistryError. */
export interface PullSource {
  repositories(): AsyncIterable<readonly string[]>;
  tags(repository: string): Promise<readonly string[]>;
  openManifest(repository: string, reference: string): Promise<{ readonly descriptor: Descriptor; readonly bytes: Buffer }>;
  /** `start` and `end` are both included. */
  openBlob(repository: string, digest: Digest): Promise<{ readonly size: number; stream(start?: number, end?: number): Readable }>;
}

/** Gives the PNG of an icon; `undefined` if there is none. */
export type ReadIcon = (digest: Digest) => Promise<Buffer | undefined>;

export interface EventRoutesOptions {
  readonly token: string | undefined;
  readonly request: (request: { readonly reason: string; readonly scope: readonly RebuildRequest[] }) => void;
  /** Says whether some index takes the repository, or the tag of it. */
  readonly wants: (repository: string, tag?: string) => boolean;
}

/** The part of the rebuild queue that this route uses. */
export interface RebuildEvents {
  /** The newest first. */
  recent(): readonly Rebuild[];
  on(event: keyof RebuildQueueEvents, listener: (rebuild: Rebuild) => void): unknown;
}

/** The part of the rebuild queue that these routes use. */
export interface Rebuilds {
  request(request: { readonly reason: string; readonly scope: RebuildRequest }): Rebuild;
  get(id: string): Rebuild | undefined;
  finished(id: string): Promise<Rebuild>;
}

/** Settings of `/reindex` that differ from site to site. */
export interface ReindexOptions {
  readonly token: string | undefined;
  /** Says whether some index takes the repository, and the catalog or the registry has it. */
  readonly knowsRepository: (name: string) => Promise<boolean>;
}

/** What is told of one site. */
export interface StatusOptions {
  /** The registry of each index. */
  readonly registryOf: (index: string) => string | undefined;
  /** What an administrator should know of each index, by its name. */
  readonly warnings: () => ReadonlyMap<string, readonly string[]>;
  readonly bus: () => BusStatus | undefined;
}

export interface IndexDescription {
  readonly name: string;
  /** The name, unless the configuration has a title. */
  readonly title: string;
  readonly comment?: string | undefined;
  readonly description?: string | undefined;
  readonly homepage?: string | undefined;
  readonly icon?: string | undefined;
  /** The public key that its apps are signed with: binary, in base64. */
  readonly gpgKey?: string | undefined;
  /** What clients are told to call their remote. */
  readonly remoteName: string;
  /** Of its apps and runtimes, for `flatpak preinstall`. */
  readonly collectionId?: string | undefined;
  /** The URL of a `.flatpakrepo` that has the runtimes. */
  readonly runtimeRepo?: string | undefined;
  /** There are signatures at `/NAME/signatures/`. */
  readonly signatures: boolean;
}

export interface SiteDescription {
  /** In the order of the configuration. */
  readonly indexes: readonly IndexDescription[];
  /** The public URL, without a slash at its end; `undefined` for what a request says. */
  readonly baseUrl: string | undefined;
}

export interface Site {
  readonly indexes: ReadonlyMap<string, ServedIndex>;
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
  readonly description: SiteDescription;
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

/** The paths that `iconsUri` leads to from an index's documents, without `basePath`; each ends with `/`. What is asked for below them is routed to `/icons/`. */
function iconPrefixes(iconsUri: string, indexes: Iterable<string>, basePath: string): readonly string[] {
  const documents = ['/index/static', ...[...indexes].map((index) => `/${index}/index/static`)];
  return [...new Set(documents.map((document) => decodeURIComponent(withoutBasePath(new URL(iconsUri, new URL(document, 'http://localhost')).pathname, basePath))))];
}

/** `asked` as it is without `basePath`, which most likely a proxy has stripped where it is not there. */
export function withoutBasePath(asked: string, basePath: string): string {
  // As everywhere in a path, doubled slashes count as one.
  const url = asked.replace(/^[^?]*/, (path) => path.replaceAll(/\/{2,}/g, '/'));
  if (basePath === '' || !url.startsWith(basePath)) return url;
  const rest = url.slice(basePath.length);
  if (rest === '' || rest.startsWith('?')) return `/${rest}`;
  return rest.startsWith('/') ? rest : url;
}

function decoded(url: string): string {
  const path = url.split('?', 1)[0] ?? '';
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
