/** Works out the configuration from what the file says. */
import { dirname } from 'node:path';
import { LAYOUT_PREFIX, registryId } from '../registry/registry-id.ts';
import { annotationsOf } from './annotations.ts';
import { basePathOf, belowBasePath } from './base-path.ts';
import { camelKeys } from './camel-keys.ts';
import { fileNameOf } from './check-relations.ts';
import type { BusConfig, Config, IndexConfig, RegistryConfig, ServerConfig } from './config.ts';
import { parseDuration } from './duration.ts';
import type { Tokens } from './read-tokens.ts';
import type { Environment } from './replace-variables.ts';
import { resolveAccess } from './resolve-access.ts';
import { registrySchema, type ConfigFile } from './schema.ts';

/** The configuration of `file` (absolute), which was found right; `names` are its indexes in the order of the file. */
export function resolveConfig(file: string, written: ConfigFile, names: readonly string[], tokens: Tokens, environment: Environment): Config {
  const folder = dirname(file);
  const server = resolveServer(written.server, tokens);
  const iconsUri = written.icons_uri.replace(/\/*$/, '/');
  const indexes = names.flatMap((name) => {
    const section = written.indexes[name];
    return section === undefined ? [] : [resolveIndex(name, section, folder, server, iconsUri)];
  });
  return {
    file,
    stateDir: written.state_dir,
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

function resolveIndex(name: string, section: ConfigFile['indexes'][string], folder: string, server: ServerConfig, iconsUri: string): IndexConfig {
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

/** `reference` as it is, or, where the server's URL is known, as a whole URL: what begins with a slash is below that. */
function publicUrl(reference: string, index: string, { baseUrl, basePath }: ServerConfig): string {
  if (baseUrl === undefined || URL.canParse(reference)) return reference;
  return new URL(belowBasePath(reference, basePath), `${baseUrl}/${index}/index/static`).href;
}

function resolveRegistries(
  written: ConfigFile,
  indexes: readonly IndexConfig[],
  folder: string,
): ReadonlyMap<string, RegistryConfig> {
  const sections = new Map(Object.entries(written.registries).map(([url, section]) => [registryId(url, folder), section]));
  return new Map(
    indexes.map(({ registry: id }) => {
      const section = sections.get(id) ?? unwritten();
      return [id, { ...camelKeys(section), id, timeout: milliseconds(section.timeout) }];
    }),
  );
}

/** A registry that only an index names. */
function unwritten(): ConfigFile['registries'][string] {
  const presets = Object.entries(registrySchema.properties).map(([key, schema]) => [key, annotationsOf(schema).default]);
  return Object.fromEntries(presets.filter(([, preset]) => preset !== undefined)) as ConfigFile['registries'][string];
}

function resolveServer(section: ConfigFile['server'], tokens: Tokens): ServerConfig {
  const { admin_token_file: _admin, events_token_file: _events, base_url: baseUrl, max_age: maxAge, ...rest } = section;
  return {
    ...camelKeys(rest),
    ...tokens,
    baseUrl: baseUrl?.replace(/\/+$/, ''),
    basePath: basePathOf(baseUrl),
    maxAge: Math.floor(milliseconds(maxAge) / 1000),
  };
}

function resolveBus(section: ConfigFile['bus'], daemon: ConfigFile['daemon']): BusConfig | undefined {
  const { url, destinations = defaultDestinations(daemon), headers, heartbeat, ...rest } = section;
  if (url === undefined) return undefined;
  return {
    ...camelKeys(rest),
    urls: typeof url === 'string' ? [url] : url,
    destinations: destinations.map((destination) =>
      typeof destination === 'string'
        ? { destination, headers: {} }
        : { destination: destination.destination, headers: headerTexts(destination.headers) },
    ),
    headers: headerTexts(headers),
    heartbeat: milliseconds(heartbeat),
  };
}

/** Where Bodhi says that a compose is complete, under its older and its newer name. */
function defaultDestinations({ topic_prefix: prefix, environment }: ConfigFile['daemon']): readonly string[] {
  return ['mashtask', 'compose'].map((topic) => `/topic/${prefix}.${environment}.bodhi.${topic}.complete`);
}

function headerTexts(headers: Readonly<Record<string, string | number | boolean>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

function milliseconds(duration: string | number): number {
  const parsed = parseDuration(duration);
  if (parsed === undefined) throw new TypeError(`Not a duration: ${duration}`);
  return parsed;
}
