/**
 * The part of the server that a configuration decides. Routes are registered once and ask for the current site, which a
 * reload replaces in one step.
 */
import type { Readable } from 'node:stream';
import { compile } from '@fastify/proxy-addr';
import type { Explanation, ExplainSubject } from '../indexing/explain.ts';
import { digestOfIconPath } from '../indexing/icons/icon-path.ts';
import type { Digest } from '../registry/digest.ts';
import type { ListedBy } from '../registry/listed-by.ts';
import type { Descriptor } from '../registry/manifest.ts';
import type { BlobName, BlobReader } from '../store/blobs.ts';
import type { DeltaCounts } from '../store/deltas.ts';
import type { StoreSize } from '../store/store.ts';
import type { BusStatus } from '../triggers/bus/bus.ts';
import type { RebuildQueueEvents } from '../triggers/rebuild-queue.ts';
import type { RebuildRequest } from '../triggers/rebuild-request.ts';
import type { Rebuild } from '../triggers/rebuild.ts';
import type { ServedIndex } from './documents/served-index.ts';
import type { Questions } from './documents/questions.ts';
import type { RegistryProxy } from './routes/distribution/registry-proxy.ts';

/**
 * A registry that `/v2/` serves from. Where something does not exist, methods throw a RegistryError with the code
 * `not-found`.
 */
export interface PullSource {
  repositories(): AsyncIterable<readonly string[]>;
  tags(repository: string): Promise<readonly string[]>;
  openManifest(
    repository: string,
    reference: string,
  ): Promise<{ readonly descriptor: Descriptor; readonly bytes: Buffer }>;
  /** `start` and `end` are both included. */
  openBlob(
    repository: string,
    digest: Digest,
  ): Promise<{ readonly size: number; stream(start?: number, end?: number): Readable }>;
}

/** Returns the PNG of an icon; `undefined` if there is none. */
export type ReadIcon = (digest: Digest) => Promise<Buffer | undefined>;

/** Settings of `/events`. */
export interface SiteEvents {
  readonly token: string | undefined;
  readonly request: (request: { readonly reason: string; readonly scope: readonly RebuildRequest[] }) => Promise<void>;
  /** Returns the ids of the registries of which an index includes the repository, or the tag of it. */
  readonly registriesWith: (repository: string, tag?: string) => readonly string[];
}

/** The part of the rebuild queue that lists rebuilds and reports their progress. */
export interface RebuildEvents {
  /** The newest first. */
  recent(): readonly Rebuild[];
  on(event: keyof RebuildQueueEvents, listener: (rebuild: Rebuild) => void): unknown;
}

/** Takes requests for rebuilds: the queue, or the store where another replica may rebuild. */
export interface Rebuilds {
  request(request: { readonly reason: string; readonly scope: RebuildRequest }): Rebuild | Promise<Rebuild>;
  get(id: string): Rebuild | undefined | Promise<Rebuild | undefined>;
  /** Waits until a rebuild has ended, and its result is served. */
  finished(id: string): Promise<Rebuild>;
}

/** One of the replicas that share a store. */
export interface ReplicaView {
  /** Its host. */
  readonly name: string;
  readonly version: string;
  /** Hash of all that changes what is published. */
  readonly configuration: string;
  /** When it came to this configuration, when it started, and its last sign of life, in milliseconds since the epoch. */
  readonly configuredAt: number;
  readonly startedAt: number;
  readonly seenAt: number;
  /** Whether that was lately. */
  readonly living: boolean;
  readonly leads: boolean;
  /** Whether it is the one that answers. */
  readonly self: boolean;
}

/** State of a replica, beside the others that share its store. */
export interface SharedState {
  /** Whether the store can be reached, and since when it can or cannot, in milliseconds since the epoch. */
  readonly store: { readonly available: boolean; readonly since: number };
  /** When the leading replica began to lead, in milliseconds since the epoch; `undefined` if none leads. */
  readonly ledSince: number | undefined;
  /** Whether this one leads. */
  readonly leads: boolean;
  /** For how long the store has had something that this replica does not serve yet, in seconds. */
  readonly lag: number;
  readonly replicas: readonly ReplicaView[];
  /** Why this replica is not ready, although it may serve every index. */
  readonly notReady: string | undefined;
}

/** A store that several replicas share. */
export interface SiteSharing {
  /** Loads what the store has and this replica does not serve yet; asks the store at most once in 100 ms. */
  readonly catchUp: () => Promise<void>;
  readonly state: () => SharedState;
}

/** Settings of `/reindex`. */
export interface SiteReindex {
  readonly token: string | undefined;
  /** Says whether an index includes the repository, and the catalog or the registry has it. */
  readonly knowsRepository: (name: string) => Promise<boolean>;
}

/** A registry that indexes are made from. */
export interface SiteRegistry {
  readonly id: string;
  /** The names of its indexes. */
  readonly indexes: readonly string[];
  readonly listedBy: ListedBy;
}

/** Sources of `/status`. */
export interface SiteStatus {
  readonly registries: readonly SiteRegistry[];
  /** Returns the registry of an index. */
  readonly registryOf: (index: string) => string | undefined;
  /** Returns warnings for the administrator, by index. */
  readonly warnings: () => ReadonlyMap<string, readonly string[]>;
  readonly bus: () => BusStatus | undefined;
  /** Explains what each index shows of a repository. */
  readonly explain: (subject: ExplainSubject) => Promise<readonly Explanation[]>;
  /** `undefined` on a replica that does not lead, or if no index has deltas. */
  readonly deltas: () => DeltaStatus | undefined;
}

/** State of the queue of deltas. */
export interface DeltaStatus extends DeltaCounts {
  /** Size of all deltas in the store, in bytes; withdrawn ones stay for a while. */
  readonly stored: number;
  /** Whether deltas wait until there is room for them. */
  readonly full: boolean;
  /** The image to which one is being made. */
  readonly making?: { readonly repository: string; readonly target: string } | undefined;
  /** `at` is in milliseconds since the epoch. */
  readonly lastError?: { readonly message: string; readonly at: number };
}

/** Texts of an index for people: for the page, and for files that add it to Flatpak. */
export interface IndexDescription {
  readonly name: string;
  /** The name if the configuration has no title. */
  readonly title: string;
  readonly comment?: string | undefined;
  readonly description?: string | undefined;
  readonly homepage?: string | undefined;
  readonly icon?: string | undefined;
  /** The public key that its apps are signed with: binary, in base64. */
  readonly gpgKey?: string | undefined;
  /** The name suggested for the remote. */
  readonly remoteName: string;
  /** Collection id of its apps and runtimes, for `flatpak preinstall`. */
  readonly collectionId?: string | undefined;
  /** The URL of a `.flatpakrepo` that has the runtimes. */
  readonly runtimeRepo?: string | undefined;
  /** Set if signatures are served at `/NAME/signatures/`. */
  readonly signatures: boolean;
}

/** Texts of all indexes. */
export interface SiteDescription {
  /** In the order of the configuration. */
  readonly indexes: readonly IndexDescription[];
  /** The public URL, without a slash at its end; taken from each request if `undefined`. */
  readonly baseUrl: string | undefined;
}

/** Everything that routes take from one configuration. */
export interface Site {
  readonly indexes: ReadonlyMap<string, ServedIndex>;
  readonly defaultIndex: string;
  /** Answers questions whose answers are not ready. */
  readonly questions: Questions;
  readonly readIcon: ReadIcon;
  readonly iconsUri: string;
  readonly blobs: BlobReader;
  /** Called with a blob that could not be read. */
  readonly onBlobLost: (blob: BlobName, error: unknown) => void;
  /** Whether any index has deltas. */
  readonly servesDeltas: boolean;
  /** Sources of `/v2/`, which serves nothing if there are none, and no proxy. */
  readonly pullSources: readonly PullSource[];
  /** A registry that `/v2/` forwards to where none of the sources has what is requested. */
  readonly registryProxy: RegistryProxy | undefined;
  /** Folders of signatures, by the index whose images they sign. */
  readonly signatures: ReadonlyMap<string, string>;
  /** The path of the public URL, without a slash at its end. A proxy in front may strip it or not. */
  readonly basePath: string;
  /** Proxies whose `X-Forwarded-*` headers are trusted: all, a number of hops, or addresses. */
  readonly trustProxy: boolean | string | readonly string[] | number;
  readonly description: SiteDescription;
  /** Set if the answers are written to files: nothing then depends on the query of a URL. */
  readonly exported?: true;
  readonly rebuilds: Rebuilds & RebuildEvents;
  readonly reindex: SiteReindex;
  readonly events: SiteEvents;
  readonly status: SiteStatus;
  /** Measures the parts of the store. */
  readonly storeSizes: () => readonly StoreSize[] | Promise<readonly StoreSize[]>;
  /** Set if several replicas share the store. */
  readonly sharing: SiteSharing | undefined;
}

/** Returns the current site. Call it once for each request, so that a reload does not mix two sites. */
export type CurrentSite = () => Site;

/** Returns Fastify's `trustProxy`: says whether the proxy at `address`, `hop` connections away, is trusted. */
export function trustOf({ trustProxy }: Site): (address: string, hop: number) => boolean {
  if (typeof trustProxy === 'boolean') return () => trustProxy;
  // Given a number of hops, Fastify itself trusts nobody.
  if (typeof trustProxy === 'number') return (_address, hop) => hop < trustProxy;
  return compile(
    typeof trustProxy === 'string' ? trustProxy.split(',').map((address) => address.trim()) : [...trustProxy],
  );
}

/**
 * Returns a function that maps a request's URL to that of a route: without the base path, and with icons below
 * `/icons/`.
 */
export function routedUrls({ basePath, iconsUri, indexes }: Site): (url: string) => string {
  const prefixes = iconPrefixes(iconsUri, indexes.keys(), basePath);
  return (asked) => {
    const url = withoutBasePath(asked, basePath);
    const path = decoded(url);
    const prefix = prefixes.find(
      (each) => path.startsWith(each) && digestOfIconPath(path.slice(each.length)) !== undefined,
    );
    return prefix === undefined ? url : `/icons/${path.slice(prefix.length)}`;
  };
}

/** Resolves `iconsUri` against the documents of each index. Returns paths without `basePath`; each ends with `/`. */
function iconPrefixes(iconsUri: string, indexes: Iterable<string>, basePath: string): readonly string[] {
  const documents = ['/index/static', ...[...indexes].map((index) => `/${index}/index/static`)];
  return [
    ...new Set(
      documents.map((document) =>
        decodeURIComponent(
          withoutBasePath(new URL(iconsUri, new URL(document, 'http://localhost')).pathname, basePath),
        ),
      ),
    ),
  ];
}

/** Removes `basePath` from a URL, if a proxy in front has not stripped it, and doubled slashes from its path. */
export function withoutBasePath(asked: string, basePath: string): string {
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
