/** Works out the configuration from what the file says. */
import { dirname, join, resolve } from 'node:path';
import { Default } from 'typebox/value';
import { listingUrl, type ListingOptions } from '../registry/listing/listing-apis.ts';
import { LAYOUT_PREFIX, registryId } from '../registry/registry-id.ts';
import type {
  AccessConfig,
  BusConfig,
  CamelKeys,
  Config,
  IndexConfig,
  RegistryConfig,
  ServerConfig,
  StoreConfig,
} from './config.ts';
import { parseDuration } from './duration.ts';
import type { Environment } from './replace-variables.ts';
import { registrySchema, type ConfigFile } from './schema.ts';
import { fileNameOf, isAmqp } from './value-types.ts';

/** Bearer tokens that protect routes; `undefined` where none is configured. */
export type Tokens = Pick<ServerConfig, 'adminToken' | 'eventsToken'>;

/** What was read besides the file. */
export interface ReadValues {
  readonly tokens: Tokens;
  readonly store: StoreConfig | undefined;
}

/** The configuration of `file` (absolute), which was found right; `names` are its indexes in the order of the file. */
export function resolveConfig(
  file: string,
  written: ConfigFile,
  names: readonly string[],
  { tokens, store }: ReadValues,
  environment: Environment,
): Config {
  const folder = dirname(file);
  const server = resolveServer(written.server, tokens, environment);
  const iconsUri = written.icons_uri.replace(/\/*$/, '/');
  const indexes = names.flatMap((name) => {
    const section = written.indexes[name];
    return section === undefined ? [] : [resolveIndex(name, section, folder, server, iconsUri)];
  });
  return {
    file,
    stateDir: written.state_dir ?? resolve(folder, variable(environment, 'REGINDEXER_STATE_DIR') ?? 'state'),
    store,
    iconsDir: written.icons_dir,
    iconsUri: belowBasePath(iconsUri, server.basePath),
    access: resolveAccess(environment),
    registries: resolveRegistries(written, indexes, folder),
    indexes,
    defaultIndex: written.default_index ?? String(names[0]),
    rescanInterval: milliseconds(written.rescan_interval),
    cleanFilesAfter: milliseconds(written.clean_files_after),
    server,
    bus: resolveBus(written.bus, written.daemon),
  };
}

function resolveIndex(
  name: string,
  section: ConfigFile['indexes'][string],
  folder: string,
  server: ServerConfig,
  iconsUri: string,
): IndexConfig {
  const { registry: url, registry_public: registryPublic, remote_icons: remoteIcons, ...rest } = section;
  const registry = registryId(url, folder);
  return {
    ...camelKeys(rest),
    name,
    fileName: fileNameOf(name, rest.output),
    registry,
    registryPublic: publicUrl(registryPublic ?? (registry.startsWith(LAYOUT_PREFIX) ? '/' : url), name, server),
    ...(remoteIcons && { remoteIconsUri: publicUrl(iconsUri, name, server) }),
  };
}

/**
 * `reference` as it is, or, where the server's URL is known, as a whole URL: what begins with a slash is below that.
 */
function publicUrl(reference: string, index: string, { baseUrl, basePath }: ServerConfig): string {
  if (baseUrl === undefined || URL.canParse(reference)) return reference;
  return new URL(belowBasePath(reference, basePath), `${baseUrl}/${index}/index/static`).href;
}

function resolveRegistries(
  written: ConfigFile,
  indexes: readonly IndexConfig[],
  folder: string,
): ReadonlyMap<string, RegistryConfig> {
  const sections = new Map(
    Object.entries(written.registries).map(([url, section]) => [registryId(url, folder), section]),
  );
  return new Map(
    indexes.map(({ registry: id }) => {
      const section = sections.get(id) ?? (Default(registrySchema, {}) as ConfigFile['registries'][string]);
      const { listing, ...rest } = section;
      return [
        id,
        {
          ...camelKeys(rest),
          id,
          ...(listing && { listing: resolveListing(listing, id) }),
          timeout: milliseconds(section.timeout),
        },
      ];
    }),
  );
}

function resolveListing(
  section: NonNullable<ConfigFile['registries'][string]['listing']>,
  registry: string,
): ListingOptions {
  const url = section.url ?? listingUrl(section.kind, registry) ?? '';
  return { ...camelKeys(section), url: url.replace(/\/+$/, '') };
}

function resolveServer(section: ConfigFile['server'], tokens: Tokens, environment: Environment): ServerConfig {
  const { admin_token_file: _admin, events_token_file: _events, base_url: baseUrl, max_age: maxAge, ...rest } = section;
  return {
    ...camelKeys(rest),
    ...tokens,
    host: section.host ?? variable(environment, 'REGINDEXER_HOST') ?? '127.0.0.1',
    baseUrl: baseUrl?.replace(/\/+$/, ''),
    basePath: basePathOf(baseUrl),
    maxAge: Math.floor(milliseconds(maxAge) / 1000),
  };
}

function resolveBus(section: ConfigFile['bus'], daemon: ConfigFile['daemon']): BusConfig | undefined {
  const { url, destinations, exchange = 'amq.topic', headers, heartbeat, ...rest } = section;
  if (url === undefined) return undefined;
  const urls = typeof url === 'string' ? [url] : url;
  return {
    ...camelKeys(rest),
    urls,
    destinations: (destinations ?? defaultDestinations(daemon, urls)).map((destination) =>
      typeof destination === 'string'
        ? { destination, headers: {} }
        : { destination: destination.destination, headers: headerTexts(destination.headers) },
    ),
    exchange,
    headers: headerTexts(headers),
    heartbeat: milliseconds(heartbeat),
  };
}

/** Topics on which Bodhi announces that a compose is complete, by its older and its newer name. */
function defaultDestinations(
  { topic_prefix: prefix, environment }: ConfigFile['daemon'],
  urls: readonly string[],
): readonly string[] {
  const start = urls.every(isAmqp) ? prefix : `/topic/${prefix}`;
  return ['mashtask', 'compose'].map((topic) => `${start}.${environment}.bodhi.${topic}.complete`);
}

function headerTexts(headers: Readonly<Record<string, string | number | boolean>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

function milliseconds(duration: string | number): number {
  const parsed = parseDuration(duration);
  if (parsed === undefined) throw new TypeError(`Not a duration: ${duration}`);
  return parsed;
}

/** The path of `baseUrl`, without a slash at its end. */
function basePathOf(baseUrl: string | undefined): string {
  return baseUrl === undefined ? '' : new URL(baseUrl).pathname.replace(/\/{2,}/g, '/').replace(/\/$/, '');
}

/**
 * `reference` as clients need it: a path of this server stands below `basePath`, also where it was written without it.
 */
function belowBasePath(reference: string, basePath: string): string {
  const isPath = reference.startsWith('/') && !reference.startsWith('//');
  return isPath && !`${reference}/`.startsWith(`${basePath}/`) ? basePath + reference : reference;
}

/** A section of the file, whose names are snake_case, with its own keys in camelCase. */
function camelKeys<Section extends object>(section: Section): CamelKeys<Section> {
  const entries = Object.entries(section).map(([key, value]) => [
    key.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
    value,
  ]);
  return Object.fromEntries(entries) as CamelKeys<Section>;
}

/** The value of the first of these variables that is set and not empty. */
function variable(environment: Environment, ...names: readonly string[]): string | undefined {
  return names.map((name) => environment[name]).find((found) => found !== undefined && found !== '');
}

/**
 * Logins as containers-auth.json(5) and Docker look for them; proxies as most programs do, whose variables may also be
 * in lower case.
 * @param uid of the user who runs the program; `undefined` where users have none
 */
export function resolveAccess(environment: Environment, uid = process.getuid?.()): AccessConfig {
  const value = (...names: readonly string[]): string | undefined => variable(environment, ...names);
  const [authFile, runtime, home] = [value('REGISTRY_AUTH_FILE'), value('XDG_RUNTIME_DIR'), value('HOME')];
  const inHome = (folder: string): string | undefined => home && join(home, folder);
  const [config, docker] = [value('XDG_CONFIG_HOME') ?? inHome('.config'), value('DOCKER_CONFIG') ?? inHome('.docker')];
  const searched = [
    runtime === undefined
      ? uid !== undefined && `/run/containers/${uid}/auth.json`
      : join(runtime, 'containers/auth.json'),
    config !== undefined && join(config, 'containers/auth.json'),
    docker !== undefined && join(docker, 'config.json'),
  ];
  return {
    authFiles: [
      ...(authFile === undefined ? [] : [{ path: resolve(authFile), required: true }]),
      ...searched.filter((path) => path !== false).map((path) => ({ path: resolve(path), required: false })),
    ],
    proxies: {
      http: value('HTTP_PROXY', 'http_proxy'),
      https: value('HTTPS_PROXY', 'https_proxy'),
      none: value('NO_PROXY', 'no_proxy'),
    },
  };
}
