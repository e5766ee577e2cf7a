/** The configuration as the program uses it: as the schema decodes it, with what is worked out from several keys. */
import type { AuthFile, ProxyOptions } from '../registry/http/access/access-options.ts';
import type { ListingOptions } from '../registry/listing/listing-apis.ts';
import type { ConfigValues } from './schema.ts';

/** Plain keys come from the schema, which says what they mean; those that were worked out are named here. */
export interface Config extends Pick<ConfigValues, 'iconsUri' | 'rescanInterval' | 'cleanFilesAfter'> {
  /** The configuration file; absolute. */
  readonly file: string;
  readonly stateDir: string;
  /** `undefined` if all is kept in `stateDir`. */
  readonly store: StoreConfig | undefined;
  readonly iconsDir: string | undefined;
  /** Access to registries that do not configure their own. */
  readonly access: AccessConfig;
  /** By `id`; one for each registry that an index reads. */
  readonly registries: ReadonlyMap<string, RegistryConfig>;
  /** In the order of the file; at least one. */
  readonly indexes: readonly IndexConfig[];
  /** The name of one of `indexes`. */
  readonly defaultIndex: string;
  readonly server: ServerConfig;
  /** `undefined` if no broker is given. */
  readonly bus: BusConfig | undefined;
}

/** A PostgreSQL database that the store is in. */
export interface StoreConfig {
  /**
   * `postgres://USER@HOST:PORT/DATABASE`, all of them; a folder with a Unix socket as HOST is percent-encoded. Of the
   * parameters `sslmode`, `sslrootcert`, `sslcert` and `sslkey` those that are given, with absolute paths.
   */
  readonly url: string;
  /** `undefined` if none is configured. */
  readonly password: string | undefined;
}

/** Access to registries, from the environment. */
export interface AccessConfig {
  /** Files with logins, in the order in which they are searched; absolute. */
  readonly authFiles: readonly AuthFile[];
  readonly proxies: ProxyOptions;
}

/** Access to one registry. `repositories` is empty for all that are listed. */
export interface RegistryConfig extends Omit<ConfigValues['registries'][string], 'listing'> {
  /** The registry's URL without a slash at its end, or `oci:` and the absolute path of a folder. */
  readonly id: string;
  /** `undefined` for the registry's own catalog. */
  readonly listing?: ListingOptions;
}

/** One index. */
export interface IndexConfig extends Omit<
  ConfigValues['indexes'][string],
  'registryPublic' | 'remoteIcons' | 'deltas'
> {
  readonly name: string;
  /** FILE of the route `/index/FILE.json`. */
  readonly fileName: string;
  /** The `id` of its registry. */
  readonly registry: string;
  /** The `Registry` that clients see: a whole URL where the server's own is known. */
  readonly registryPublic: string;
  /** `undefined` for none. */
  readonly deltas?: DeltaConfig;
  /** Base of the icons that app data also names: a whole URL that ends with `/`. */
  readonly remoteIconsUri?: string;
}

/** Deltas of an index. */
export interface DeltaConfig extends NonNullable<ConfigValues['indexes'][string]['deltas']> {
  /** URL that they are named by, ends with `/`; `undefined` where clients pull from this server. */
  readonly url: string | undefined;
}

/** Keys of the server's section that are worked out. */
type Resolved = 'host' | 'adminToken' | 'adminTokenFile' | 'eventsToken' | 'eventsTokenFile' | 'baseUrl';

/** Configuration of the HTTP server. */
export interface ServerConfig extends Omit<ConfigValues['server'], Resolved> {
  readonly host: string;
  /** Bearer token of `/reindex`; without one the route answers 403. */
  readonly adminToken: string | undefined;
  /** Bearer token of `/events`; without one the route answers 403. */
  readonly eventsToken: string | undefined;
  /** The public URL, without a slash at its end; `undefined` for what a request says. */
  readonly baseUrl: string | undefined;
  /** The path of `baseUrl`, without a slash at its end. */
  readonly basePath: string;
  /** Seconds. */
  readonly maxAge: number;
}

/** Brokers, and the messages on them that trigger a rebuild. */
export interface BusConfig extends Omit<ConfigValues['bus'], 'url' | 'destinations'> {
  /** Brokers to fail over between; at least one. They may hold a login. */
  readonly urls: readonly string[];
  readonly destinations: NonNullable<ConfigValues['bus']['destinations']>;
  /** With AMQP, the exchange that the queue is bound to. */
  readonly exchange: string;
}
