/** Works out the configuration from what the file says. */
import { dirname, join, resolve } from 'node:path';
import { DecodeUnsafe } from 'typebox/value';
import { listingUrl } from '../registry/listing/listing-apis.ts';
import { LAYOUT_PREFIX, registryId } from '../registry/registry-id.ts';
import type {
  AccessConfig,
  BusConfig,
  Config,
  IndexConfig,
  RegistryConfig,
  ServerConfig,
  StoreConfig,
} from './config.ts';
import type { Environment } from './replace-variables.ts';
import { configSchema, registrySchema, type ConfigFile, type ConfigValues } from './schema.ts';
import { isAmqp } from './url-types.ts';
import { emptySection, fileNameOf } from './value-types.ts';

/** Values that were read besides the file: the bearer tokens that protect routes, and the database of the store. */
export interface ReadValues extends Pick<ServerConfig, 'adminToken' | 'eventsToken'> {
  readonly store: StoreConfig | undefined;
}

/** The configuration of `file` (absolute), which was found right; `names` are its indexes in the order of the file. */
export function resolveConfig(
  file: string,
  written: ConfigFile,
  names: readonly string[],
  { store, ...tokens }: ReadValues,
  environment: Environment,
): Config {
  const folder = dirname(file);
  const settings = DecodeUnsafe({}, configSchema, written) as ConfigValues;
  const server = resolveServer(settings.server, tokens, environment);
  const indexes = names.flatMap((name) => {
    const section = settings.indexes[name];
    return section === undefined ? [] : [resolveIndex(name, section, folder, server, settings.iconsUri)];
  });
  const { rescanInterval, cleanFilesAfter, iconsDir, bus, daemon } = settings;
  return {
    file,
    stateDir: settings.stateDir ?? resolve(folder, variable(environment, 'REGINDEXER_STATE_DIR') ?? 'state'),
    store,
    iconsDir,
    iconsUri: belowBasePath(settings.iconsUri, server.basePath),
    access: resolveAccess(environment),
    registries: resolveRegistries(settings, indexes, folder),
    indexes,
    defaultIndex: settings.defaultIndex ?? String(names[0]),
    rescanInterval,
    cleanFilesAfter,
    server,
    bus: bus.url && resolveBus(bus, bus.url, daemon),
  };
}

function resolveIndex(
  name: string,
  { registry: url, registryPublic, remoteIcons, deltas, ...rest }: ConfigValues['indexes'][string],
  folder: string,
  server: ServerConfig,
  iconsUri: string,
): IndexConfig {
  const registry = registryId(url, folder);
  return {
    ...rest,
    name,
    fileName: fileNameOf(name, rest.output),
    registry,
    registryPublic: publicUrl(registryPublic ?? (registry.startsWith(LAYOUT_PREFIX) ? '/' : url), name, server),
    ...(deltas && { deltas: { ...deltas, url: server.baseUrl && `${server.baseUrl}/deltas/` } }),
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
  { registries }: ConfigValues,
  indexes: readonly IndexConfig[],
  folder: string,
): ReadonlyMap<string, RegistryConfig> {
  const sections = new Map(Object.entries(registries).map(([url, section]) => [registryId(url, folder), section]));
  return new Map(
    indexes.map(({ registry: id }) => {
      const { listing, ...rest } = sections.get(id) ?? emptySection(registrySchema);
      const api = listing && { ...listing, url: listing.url ?? listingUrl(listing.kind, id) ?? '' };
      return [id, { ...rest, id, ...(api && { listing: api }) }];
    }),
  );
}

function resolveServer(
  { adminTokenFile: _admin, eventsTokenFile: _events, host, baseUrl, maxAge, ...rest }: ConfigValues['server'],
  tokens: Pick<ServerConfig, 'adminToken' | 'eventsToken'>,
  environment: Environment,
): ServerConfig {
  return {
    ...rest,
    ...tokens,
    host: host ?? variable(environment, 'REGINDEXER_HOST') ?? '127.0.0.1',
    baseUrl,
    basePath: basePathOf(baseUrl),
    maxAge: Math.floor(maxAge / 1000),
  };
}

function resolveBus(
  { url: _url, exchange = 'amq.topic', destinations, ...rest }: ConfigValues['bus'],
  urls: readonly string[],
  { topicPrefix, environment }: ConfigValues['daemon'],
): BusConfig {
  // Topics on which Bodhi announces that a compose is complete, by its older and its newer name.
  const start = urls.every(isAmqp) ? topicPrefix : `/topic/${topicPrefix}`;
  const topics = ['mashtask', 'compose'].map((topic) => ({
    destination: `${start}.${environment}.bodhi.${topic}.complete`,
    headers: {},
  }));
  return { ...rest, urls, destinations: destinations ?? topics, exchange };
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
