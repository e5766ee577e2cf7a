/** Warnings of a valid configuration: likely oversights. */
import { matcher } from '../registry/config-glob.ts';
import { CoveredRepositories } from '../registry/covered-repositories.ts';
import { DEFAULT_TAG, isTag } from '../registry/reference.ts';
import { LAYOUT_PREFIX, registryId, registryKey } from '../registry/registry-id.ts';
import { proxiedRegistry, signedReference } from './client-references.ts';
import type { Config, IndexConfig, RegistryConfig } from './config.ts';
import { databaseParts } from './database-url.ts';
import { isAmqp } from './url-types.ts';

/** All warnings, one line each. */
export function configWarnings(config: Config): readonly string[] {
  const { indexes, registries } = config;
  return [
    ...indexes.flatMap((index) => indexWarnings(config, index)),
    ...[...registries.values()].flatMap((registry) => [...registryWarnings(registry)]),
    ...storeWarnings(config),
    ...serverWarnings(config),
    ...busWarnings(config),
  ];
}

/** Warnings of one index. */
export function indexWarnings(config: Config, index: IndexConfig): readonly string[] {
  return [...selectionWarnings(index), ...clientWarnings(index), ...proxyWarnings(config, index)];
}

/** Says whether an index takes the tag that Flatpak asks for if a remote's URL names none. */
export function takesDefaultTag({ tags }: IndexConfig): boolean {
  return matcher(tags)(DEFAULT_TAG);
}

/** GOARCH names by what else these architectures are called (the image-spec's `architecture`; `uname`, Debian). */
const GO_NAMES: ReadonlyMap<string, string> = new Map([
  ['x86_64', 'amd64'],
  ['aarch64', 'arm64'],
  ...['i386', 'i486', 'i586', 'i686', 'x86'].map((name) => [name, '386'] as const),
  ['armv7l', 'arm'],
  ['armhf', 'arm'],
  ['ppc64el', 'ppc64le'],
  ['loongarch64', 'loong64'],
]);

/** Warnings of patterns and names that match nothing. */
function* selectionWarnings(index: IndexConfig): Iterable<string> {
  const key = `indexes.${index.name}`;
  yield* globWarnings(`${key}.tags`, index.tags, IN_NO_TAG);
  yield* globWarnings(`${key}.repository_include`, index.repositoryInclude, IN_NO_REPOSITORY);
  yield* globWarnings(`${key}.repository_exclude`, index.repositoryExclude, IN_NO_REPOSITORY);
  yield* globWarnings(`${key}.repository_priority`, index.repositoryPriority, IN_NO_REPOSITORY);
  for (const architecture of index.architectures ?? []) {
    const goName = GO_NAMES.get(architecture);
    if (goName !== undefined) yield `${key}.architectures: images call ${architecture} ${goName}`;
  }
}

/**
 * A character that is in no tag, and in no name of a repository (OCI distribution-spec, "Pulling manifests"), nor
 * special in a glob.
 */
const IN_NO_TAG = /[^A-Za-z0-9._*?[\]!-]/;
const IN_NO_REPOSITORY = /[^a-z0-9._/*?[\]!-]/;

function* globWarnings(key: string, patterns: readonly string[], impossible: RegExp): Iterable<string> {
  for (const pattern of patterns.filter((each) => impossible.test(each))) {
    const isGlob = /^[A-Za-z0-9._/*?[\]!-]*$/.test(pattern);
    const rule = impossible === IN_NO_TAG ? 'a tag has no slash' : 'repositories have lower-case names';
    yield `${key}: nothing has a name such as ${JSON.stringify(pattern)}; ${isGlob ? rule : 'it is a glob, not a regular expression: * and ? stand for any characters'}`;
  }
}

/** Warnings of what Flatpak does with an index. */
function* clientWarnings(index: IndexConfig): Iterable<string> {
  const key = `indexes.${index.name}`;
  if (index.collectionId !== undefined)
    yield `${key}.collection_id: Flatpak before 1.17 cannot use a remote of images that has one; leave it out unless all clients are newer`;
  const tag = index.tags.find((pattern) => isTag(pattern)) ?? 'TAG';
  if (!takesDefaultTag(index) && !index.skipFlatpakLabels)
    yield `${key}.tags: none of them can be latest, which Flatpak asks for unless the URL of its remote ends with another, such as oci+https://HOST/${index.name}#${tag}`;
  if (index.gpgKey !== undefined && index.signaturesDir === undefined)
    yield `${key}.gpg_key: Flatpak from 1.17 on refuses every image that is not signed, and signatures_dir is not set; set it to a folder of signatures with the docker-reference ${signedReference(index)}, or leave gpg_key out`;
}

/** Warnings where clients of the index go past the proxy, or come to it for images that it does not serve. */
function* proxyWarnings(config: Config, { name, registry, registryPublic }: IndexConfig): Iterable<string> {
  const proxied = proxiedRegistry(config);
  const { baseUrl } = config.server;
  const here = baseUrl === undefined ? '/' : new URL(`${baseUrl}/`).href;
  const isHere = !registry.startsWith(LAYOUT_PREFIX) && registryPublic === here;
  const told = `indexes.${name}: clients are told to download from`;
  if (proxied === undefined && isHere)
    yield `${told} here, where nothing serves ${registry}; set server.registry_proxy to true, unless a proxy before this server does`;
  else if (registry === proxied && URL.canParse(registryPublic) && registryId(registryPublic, '/') === registry)
    yield `${told} ${proxied} itself, not through server.registry_proxy; set registry_public to / to have them download from here`;
  else if (registry !== proxied && isHere)
    yield `${told} here, where server.registry_proxy serves ${proxied} and not ${registry}; leave registry_public out, or give this index a server of its own`;
}

function* registryWarnings({ id, repositories, listing }: RegistryConfig): Iterable<string> {
  yield* globWarnings(registryKey(id, 'repositories'), repositories, IN_NO_REPOSITORY);
  if (listing !== undefined && new CoveredRepositories(repositories).named)
    yield `${registryKey(id, 'listing')}: is never asked, because repositories has names alone; leave one of them out, or add a glob`;
}

/** Addresses that only this machine reaches. */
const LOCAL = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/;

function* storeWarnings({ store }: Config): Iterable<string> {
  if (store === undefined) return;
  const { host = '', sslmode } = databaseParts(store.url);
  if (sslmode === undefined && !host.startsWith('/') && !LOCAL.test(host))
    yield 'store: reaches a database on another machine without TLS; add ?sslmode=verify-full, or ?sslmode=disable if the network is safe';
}

/** Characters below which a token can be found by trying. */
const SAFE_TOKEN = 16;

function* serverWarnings({ server: { host, baseUrl, adminToken, eventsToken } }: Config): Iterable<string> {
  for (const [key, token] of Object.entries({ admin_token: adminToken, events_token: eventsToken }))
    if (token !== undefined && token.length < SAFE_TOKEN)
      yield `server.${key}: has fewer than ${SAFE_TOKEN} characters, so that it can be guessed; make one with "openssl rand -hex 24"`;
  if (adminToken !== undefined && adminToken === eventsToken)
    yield 'server.events_token: is the same as server.admin_token, so that whatever sends notifications may also ask for rebuilds; give each its own';
  if (baseUrl === undefined && !LOCAL.test(host))
    yield `server.base_url: is not set while the server listens at ${host}, so that .flatpakrepo and .flatpakref files name whatever host a request names; set it to the public URL`;
}

/** A warning for each broker at another machine that is logged in to as `guest`, as clients of AMQP do. */
function* busWarnings({ bus }: Config): Iterable<string> {
  for (const url of (bus?.urls ?? []).filter(isAmqp)) {
    const { protocol, username, host, hostname } = new URL(url);
    const hasLogin = username !== '' || (protocol === 'amqps:' && bus?.clientCert !== undefined);
    if (!hasLogin && !LOCAL.test(hostname.replace(/^\[(.*)\]$/, '$1')))
      yield `bus.url: names no user of ${host}, so that the login is guest, which RabbitMQ accepts only from its own machine; give a user and a password, or amqps:// and client_cert`;
  }
}
