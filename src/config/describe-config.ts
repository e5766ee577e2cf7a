/** Says in a few lines what a configuration means. */
import { LISTING_APIS, ownerOf, type ListingOptions } from '../registry/listing/listing-apis.ts';
import { LAYOUT_PREFIX } from '../registry/registry-id.ts';
import { configWarnings } from './config-warnings.ts';
import type { BusConfig, Config, IndexConfig, RegistryConfig, ServerConfig } from './config.ts';
import { databaseParts } from './database-url.ts';
import { formatDuration } from './duration.ts';
import { proxiedRegistry, signedReference } from './client-references.ts';
import { isAmqp } from './url-types.ts';

/** Plain text, one fact a line, without secrets. */
export function describeConfig(config: Config): string {
  const { file, indexes, registries, defaultIndex, server, bus } = config;
  return [
    `Configuration ${file}`,
    ...indexes.flatMap((index) => describeIndex(index, index.name === defaultIndex)),
    ...[...registries.values()].map(describeRegistry),
    `Icons: served at ${config.iconsUri}${config.iconsDir === undefined ? '' : `, written to ${config.iconsDir}`}, kept for ${formatDuration(config.cleanFilesAfter)} when unused`,
    describeState(config),
    `Listening: ${describeListening(server)}`,
    ...describePulls(config),
    `Rebuilds: ${describeTriggers(config)}`,
    ...(bus === undefined ? [] : [describeBus(bus)]),
    ...(server.adminToken === undefined ? ['POST /reindex answers 403: server.admin_token is not set'] : []),
    ...(server.eventsToken === undefined ? ['POST /events answers 403: server.events_token is not set'] : []),
    ...configWarnings(config).map((warning) => `Warning: ${warning}`),
  ].join('\n');
}

function describeIndex(index: IndexConfig, isDefault: boolean): readonly string[] {
  const selection = [
    `tags ${index.tags.join(', ')}`,
    ...some('repositories', index.repositoryInclude),
    ...some('without repositories', index.repositoryExclude),
    ...(index.lists === 'flatten' ? ['lists as single images'] : []),
    ...some('preferring repositories', index.repositoryPriority),
    ...some('architectures', index.architectures ?? []),
    ...some('with annotations', index.requiredAnnotations),
    ...some('with labels', index.requiredLabels),
  ];
  const routes = [
    `/index/${index.fileName}.json`,
    `/${index.name}/index/static`,
    ...(isDefault ? ['/index/static'] : []),
  ];
  return [
    `Index ${index.name}${isDefault ? ' (default)' : ''}: from ${index.registry}`,
    `  takes: ${selection.join('; ')}`,
    `  tells clients to download from: ${index.registryPublic}`,
    `  served at: ${routes.join(', ')}`,
    ...(index.deltas === undefined
      ? []
      : [
          `  deltas: from at most ${index.deltas.max} images that were replaced within ${formatDuration(index.deltas.keep)}, named at ${index.deltas.url ?? '/deltas/, and pulled from /v2/'}`,
        ]),
    ...(index.output === undefined ? [] : [`  written to: ${index.output}`]),
    ...(index.signaturesDir === undefined
      ? []
      : [
          `  signatures: in ${index.signaturesDir}, served at /${index.name}/signatures/; their docker-reference must be ${signedReference(index)}`,
        ]),
  ];
}

function some(what: string, names: readonly string[]): readonly string[] {
  return names.length === 0 ? [] : [`${what} ${names.join(', ')}`];
}

function describeRegistry({ id, repositories, listing, username, concurrency, timeout }: RegistryConfig): string {
  const read = repositories.length === 0 ? 'all repositories' : `repositories ${repositories.join(', ')}`;
  if (id.startsWith(LAYOUT_PREFIX)) return `Registry ${id}: ${read}`;
  const login = username === undefined ? '' : `, as ${username}`;
  return `Registry ${id}: ${read}${listing === undefined ? '' : describeListing(listing)}${login}, at most ${concurrency} requests at once, ${formatDuration(timeout)} for each`;
}

function describeListing(listing: ListingOptions): string {
  const { key, name } = ownerOf(listing);
  const token = listing.token === undefined && listing.tokenFile === undefined ? 'without a token' : 'with a token';
  return ` that ${LISTING_APIS[listing.kind].name} lists at ${listing.url} for the ${key} ${name}, ${token}`;
}

function describeState({ stateDir, store }: Config): string {
  if (store === undefined) return `State: in ${stateDir}`;
  const { host = '', port, database, sslmode } = databaseParts(store.url);
  const server = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const tls = sslmode === undefined ? 'without TLS' : `sslmode ${sslmode}`;
  return `State: in the PostgreSQL database ${database} at ${server}, ${tls}; copies in ${stateDir}`;
}

function describeListening({ host, port, tls, baseUrl }: ServerConfig): string {
  const address = `${tls === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
  return baseUrl === undefined ? address : `${address}, known as ${baseUrl}`;
}

/** `oci:` folders have no server of their own. */
function describePulls(config: Config): readonly string[] {
  const layouts = config.indexes.map(({ registry }) => registry).filter((id) => id.startsWith(LAYOUT_PREFIX));
  const proxied = proxiedRegistry(config);
  const served = [...new Set([...layouts, ...(proxied === undefined ? [] : [proxied])])];
  const redirects =
    proxied !== undefined && config.server.registryProxyRedirects === 'pass'
      ? ', and passes its redirects to other hosts on'
      : '';
  return served.length === 0 ? [] : [`Pulls: /v2/ answers for ${served.join(' and ')}${redirects}`];
}

function describeTriggers({ rescanInterval, bus, server }: Config): string {
  return [
    'at the start',
    ...(rescanInterval === 0 ? [] : [`${formatDuration(rescanInterval)} after the last`]),
    ...(bus === undefined ? [] : ['on bus messages']),
    ...(server.eventsToken === undefined ? [] : ['on POST /events']),
    ...(server.adminToken === undefined ? [] : ['on POST /reindex']),
  ].join(', ');
}

function describeBus({ urls, destinations, exchange, queue, contentTypes }: BusConfig): string {
  const brokers = urls.map((url) => new URL(url)).map(({ protocol, host }) => `${protocol}//${host}`);
  const types = contentTypes === 'any' ? 'any content type' : `content types ${contentTypes.join(', ')}`;
  const what = destinations.map(({ destination }) => destination).join(' and ');
  const where = urls.every(isAmqp)
    ? ` of the exchange ${exchange}, in ${queue === undefined ? 'a queue named by a UUID' : `the queue ${queue}`}`
    : '';
  return `Bus: ${brokers.join(' or ')}, ${what}${where}, ${types}`;
}
