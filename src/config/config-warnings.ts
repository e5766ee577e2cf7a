/** Warnings of a valid configuration: likely oversights. */
import { matcher } from '../registry/config-glob.ts';
import { CoveredRepositories } from '../registry/covered-repositories.ts';
import { DEFAULT_TAG, isTag } from '../registry/reference.ts';
import { LAYOUT_PREFIX, registryId, registryKey } from '../registry/registry-id.ts';
import { proxiedRegistry, signedReference } from './client-references.ts';
import type { Config, IndexConfig } from './config.ts';
import { databaseParts } from './database-url.ts';
import { isAmqp } from './value-types.ts';

/** All warnings, one line each. */
export function configWarnings(config: Config): readonly string[] {
  return [
    ...config.indexes.flatMap((index) => indexWarnings(config, index)),
    ...[...config.registries.values()].flatMap(({ id, repositories, listing }) => [
      ...globWarnings(registryKey(id, 'repositories'), repositories, IN_NO_REPOSITORY),
      ...(listing !== undefined && new CoveredRepositories(repositories).named
        ? [
            `${registryKey(id, 'listing')}: is never asked, because repositories has names alone; leave one of them out, or add a glob`,
          ]
        : []),
    ]),
    ...storeWarnings(config),
    ...tokenWarnings(config.server),
    ...hostWarnings(config.server),
    ...busWarnings(config.bus),
  ];
}

/** Warnings of one index. */
export function indexWarnings(config: Config, index: IndexConfig): readonly string[] {
  return [
    ...selectionWarnings(index),
    ...collectionWarnings(index),
    ...tagWarnings(index),
    ...signatureWarnings(index),
    ...proxyWarnings(config, index),
  ];
}

/** Says whether an index takes the tag that Flatpak asks for if a remote's URL names none. */
export function takesDefaultTag({ tags }: IndexConfig): boolean {
  return matcher(tags)(DEFAULT_TAG);
}

function tagWarnings(index: IndexConfig): readonly string[] {
  if (takesDefaultTag(index) || index.skipFlatpakLabels) return [];
  const tag = index.tags.find((pattern) => isTag(pattern)) ?? 'TAG';
  return [
    `indexes.${index.name}.tags: none of them can be latest, which Flatpak asks for unless the URL of its remote ends with another, such as oci+https://HOST/${index.name}#${tag}`,
  ];
}

/** Addresses that only this machine reaches. */
const LOCAL = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/;

function hostWarnings({ host, baseUrl }: Config['server']): readonly string[] {
  if (baseUrl !== undefined || LOCAL.test(host)) return [];
  return [
    `server.base_url: is not set while the server listens at ${host}, so that .flatpakrepo and .flatpakref files name whatever host a request names; set it to the public URL`,
  ];
}

function storeWarnings({ store }: Config): readonly string[] {
  const { host = '', sslmode } = store === undefined ? {} : databaseParts(store.url);
  if (store === undefined || sslmode !== undefined || host.startsWith('/') || LOCAL.test(host)) return [];
  return [
    'store: reaches a database on another machine without TLS; add ?sslmode=verify-full, or ?sslmode=disable if the network is safe',
  ];
}

/** A warning for each broker at another machine that is logged in to as `guest`, as clients of AMQP do. */
function busWarnings(bus: Config['bus']): readonly string[] {
  const strange = (bus?.urls ?? [])
    .filter(isAmqp)
    .map((url) => new URL(url))
    .filter(
      ({ protocol, username, hostname }) =>
        username === '' &&
        !(protocol === 'amqps:' && bus?.clientCert !== undefined) &&
        !LOCAL.test(hostname.replace(/^\[(.*)\]$/, '$1')),
    );
  return strange.map(
    ({ host }) =>
      `bus.url: names no user of ${host}, so that the login is guest, which RabbitMQ accepts only from its own machine; give a user and a password, or amqps:// and client_cert`,
  );
}

/** Characters below which a token can be found by trying. */
const SAFE_TOKEN = 16;

function tokenWarnings({ adminToken, eventsToken }: Config['server']): readonly string[] {
  const tokens = { 'server.admin_token': adminToken, 'server.events_token': eventsToken };
  return [
    ...Object.entries(tokens)
      .filter(([, token]) => token !== undefined && token.length < SAFE_TOKEN)
      .map(
        ([key]) =>
          `${key}: has fewer than ${SAFE_TOKEN} characters, so that it can be guessed; make one with "openssl rand -hex 24"`,
      ),
    ...(adminToken !== undefined && adminToken === eventsToken
      ? [
          'server.events_token: is the same as server.admin_token, so that whatever sends notifications may also ask for rebuilds; give each its own',
        ]
      : []),
  ];
}

/**
 * A character that is in no tag, and in no name of a repository (OCI distribution-spec, "Pulling manifests"), nor
 * special in a glob.
 */
const IN_NO_TAG = /[^A-Za-z0-9._*?[\]!-]/;
const IN_NO_REPOSITORY = /[^a-z0-9._/*?[\]!-]/;

function globWarnings(key: string, patterns: readonly string[], impossible: RegExp): readonly string[] {
  return patterns
    .filter((pattern) => impossible.test(pattern))
    .map((pattern) => {
      const rule = /^[A-Za-z0-9._/*?[\]!-]*$/.test(pattern)
        ? impossible === IN_NO_TAG
          ? 'a tag has no slash'
          : 'repositories have lower-case names'
        : 'it is a glob, not a regular expression: * and ? stand for any characters';
      return `${key}: nothing has a name such as ${JSON.stringify(pattern)}; ${rule}`;
    });
}

/** GOARCH names by what else these architectures are called (the image-spec's `architecture`; `uname`, Debian). */
const GO_NAMES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
  i386: '386',
  i486: '386',
  i586: '386',
  i686: '386',
  x86: '386',
  armv7l: 'arm',
  armhf: 'arm',
  ppc64el: 'ppc64le',
  loongarch64: 'loong64',
};

function collectionWarnings({ name, collectionId }: IndexConfig): readonly string[] {
  return collectionId === undefined
    ? []
    : [
        `indexes.${name}.collection_id: Flatpak before 1.17 cannot use a remote of images that has one; leave it out unless all clients are newer`,
      ];
}

/** Warnings of patterns and names that match nothing. */
function selectionWarnings({
  name,
  tags,
  repositoryInclude,
  repositoryExclude,
  repositoryPriority,
  architectures = [],
}: IndexConfig): readonly string[] {
  const globs = {
    repository_include: repositoryInclude,
    repository_exclude: repositoryExclude,
    repository_priority: repositoryPriority,
  };
  return [
    ...globWarnings(`indexes.${name}.tags`, tags, IN_NO_TAG),
    ...Object.entries(globs).flatMap(([key, patterns]) =>
      globWarnings(`indexes.${name}.${key}`, patterns, IN_NO_REPOSITORY),
    ),
    ...architectures.flatMap((architecture) => {
      const goName = Object.hasOwn(GO_NAMES, architecture) ? GO_NAMES[architecture] : undefined;
      return goName === undefined ? [] : [`indexes.${name}.architectures: images call ${architecture} ${goName}`];
    }),
  ];
}

/** A warning where clients would refuse every image for the lack of a signature. */
function signatureWarnings(index: IndexConfig): readonly string[] {
  if (index.gpgKey === undefined || index.signaturesDir !== undefined) return [];
  return [
    `indexes.${index.name}.gpg_key: Flatpak from 1.17 on refuses every image that is not signed, and signatures_dir is not set; set it to a folder of signatures with the docker-reference ${signedReference(index)}, or leave gpg_key out`,
  ];
}

/** Warnings where clients of the index go past the proxy, or come to it for images that it does not serve. */
function proxyWarnings(config: Config, { name, registry, registryPublic }: IndexConfig): readonly string[] {
  const proxied = proxiedRegistry(config);
  const { baseUrl } = config.server;
  const here = baseUrl === undefined ? '/' : new URL(`${baseUrl}/`).href;
  const isHere = !registry.startsWith(LAYOUT_PREFIX) && registryPublic === here;
  if (proxied === undefined) {
    return isHere
      ? [
          `indexes.${name}: clients are told to download from here, where nothing serves ${registry}; set server.registry_proxy to true, unless a proxy before this server does`,
        ]
      : [];
  }
  if (registry === proxied && isRegistry(registryPublic, registry)) {
    return [
      `indexes.${name}: clients are told to download from ${proxied} itself, not through server.registry_proxy; set registry_public to / to have them download from here`,
    ];
  }
  if (registry !== proxied && isHere) {
    return [
      `indexes.${name}: clients are told to download from here, where server.registry_proxy serves ${proxied} and not ${registry}; leave registry_public out, or give this index a server of its own`,
    ];
  }
  return [];
}

function isRegistry(registryPublic: string, id: string): boolean {
  return URL.canParse(registryPublic) && registryId(registryPublic, '/') === id;
}
