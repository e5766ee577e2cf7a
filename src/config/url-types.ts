/** Types of URLs in the configuration file, with the rule of each. */
import { Type } from 'typebox';
import { LAYOUT_PREFIX } from '../registry/registry-id.ts';
import { databaseFault, loginFault, withHost } from './database-url.ts';
import { secret, withRule, type Options } from './value-types.ts';

const HTTP = ['http:', 'https:'];
/** Base of relative references. */
const BASE = 'http://registry.example.org/index/';
const MAX_PORT = 65_535;
const CREDENTIALS = 'holds a user name or password';

/** The address of a registry: `http(s)://…`, or `oci:FOLDER`. */
export function registryUrl(description = '') {
  return withRule(secret(description, { expected: 'http(s)://HOST[:PORT][/PATH] or oci:FOLDER' }), (written) => {
    if (written.startsWith(LAYOUT_PREFIX))
      return written === LAYOUT_PREFIX || written.includes('\0') ? 'does not name a folder' : undefined;
    const fault = urlFault(written, HTTP);
    if (fault === undefined && /\/v2\/?$/.test(written))
      return 'ends with /v2, which regindexer adds itself (remove it)';
    if (fault === CREDENTIALS) return `${fault} (set registries.URL.username and password instead)`;
    return fault ?? hostFault(new URL(written));
  });
}

const EXPECTED_URL = 'a URL such as https://apps.example.org';

/** A whole http(s) URL, without credentials, query and fragment; without slashes at its end when it is decoded. */
export function httpUrl(description: string, options: Options) {
  const schema = secret(description, { expected: EXPECTED_URL, ...options });
  return Type.Decode(
    withRule(schema, (written) => urlFault(written, HTTP)),
    (url) => url.replace(/\/+$/, ''),
  );
}

/** A whole http(s) URL without credentials, for clients to follow. */
export function linkUrl(description: string, options: Options) {
  const schema = secret(description, { expected: EXPECTED_URL, ...options });
  return withRule(schema, (written) => urlFault(written, HTTP, { query: 'any query' }));
}

/** URLs of `.flatpakrepo` files that a word stands for. */
const KNOWN_REPOS: Readonly<Record<string, string>> = {
  flathub: 'https://dl.flathub.org/repo/flathub.flatpakrepo',
};

/** The URL of a `.flatpakrepo`, or one of the words of {@link KNOWN_REPOS}; the URL when it is decoded. */
export function repoUrl(description: string, options: Options) {
  const schema = secret(description, { expected: 'flathub, or the URL of a .flatpakrepo', ...options });
  return Type.Decode(
    withRule(schema, (written) =>
      Object.hasOwn(KNOWN_REPOS, written) ? undefined : urlFault(written, HTTP, { query: 'any query' }),
    ),
    (written) => KNOWN_REPOS[written] ?? written,
  );
}

/** The address of a registry as clients see it: an http(s) URL, or one relative to the URL of the index. */
export function registryReference(description: string, options: Options) {
  return reference(description, options, hostFault);
}

/** An http(s) URL, or one relative to the URL of the index, whose path is served here; decoded, it ends with a slash. */
export function servedReference(description: string, options: Options) {
  const schema = reference(description, options, ({ pathname }) => {
    try {
      decodeURIComponent(pathname);
    } catch {
      return 'has an invalid percent-encoding';
    }
    return /^\/v2\/*$/.test(pathname) ? 'is where pulls are served' : undefined;
  });
  return Type.Decode(schema, (url) => url.replace(/\/*$/, '/'));
}

/** @param fault what else is wrong with it */
function reference(description: string, options: Options, fault: (url: URL) => string | undefined) {
  const schema = secret(description, { expected: 'a URL, or a path such as /icons/', ...options });
  return withRule(schema, (written) => urlFault(written, HTTP, { base: BASE }) ?? fault(new URL(written, BASE)));
}

/** The address of a STOMP or AMQP broker; may hold a login. */
export function brokerUrl() {
  const schema = Type.String({
    minLength: 1,
    expected: 'stomp://[USER:PASSWORD@]HOST[:PORT][/VHOST], stomps://…, amqp://… or amqps://…',
    secret: true,
  });
  return withRule(schema, (written) => {
    const fault = urlFault(written, ['stomp:', 'stomps:', 'amqp:', 'amqps:']);
    if (fault !== undefined && fault !== CREDENTIALS) return fault;
    return new URL(written).hostname === '' ? 'does not name a host' : undefined;
  });
}

/** Value of the key `store` for a store in files. */
export const IN_STATE_DIR = 'state_dir';

/** The address of a PostgreSQL database, which may hold a login; or {@link IN_STATE_DIR}. */
export function databaseUrl(description: string) {
  const schema = secret(description, {
    default: IN_STATE_DIR,
    expected: `${IN_STATE_DIR} or postgres://[USER[:PASSWORD]@][HOST][:PORT][/DATABASE][?sslmode=…]`,
  });
  return withRule(schema, (written) => {
    if (written === IN_STATE_DIR) return undefined;
    const fault =
      loginFault(written) ?? urlFault(withHost(written), ['postgres:', 'postgresql:'], { query: 'any query' });
    return fault === undefined || fault === CREDENTIALS ? databaseFault(written) : fault;
  });
}

/** Says whether a broker's URL is one of AMQP. */
export function isAmqp(url: string): boolean {
  return /^amqps?:/i.test(url);
}

/** Returns what is wrong with a URL, without any of its characters: it may hold a password. */
function urlFault(
  written: string,
  protocols: readonly string[],
  { base, query }: { readonly base?: string; readonly query?: 'any query' | undefined } = {},
): string | undefined {
  const scheme = protocols.find((protocol) => written.toLowerCase().startsWith(protocol));
  // The parser would take "https:icons" for a host, and a client for a path.
  if (scheme !== undefined && !written.startsWith('//', scheme.length)) return `has no // after ${scheme}`;
  if (scheme !== undefined && /^\/\/[/\\]/.test(written.slice(scheme.length))) return 'does not name a host';
  const url = /\s/.test(written) ? null : URL.parse(written, base);
  const [, port = ''] = /:(\d+)(?:[/?#]|$)/.exec(written) ?? [];
  if (url === null && Number(port) > MAX_PORT) return `has a port over ${MAX_PORT}`;
  if (url === null || !protocols.includes(url.protocol))
    return `is not a URL with ${protocols.map((protocol) => protocol.slice(0, -1)).join(' or ')}`;
  if (query === undefined && /[?#]/.test(written)) return 'has a query or fragment';
  return url.username === '' && url.password === '' ? undefined : CREDENTIALS;
}

const DOCKER_HUB = 'registry-1.docker.io';
const NOT_REGISTRIES: ReadonlySet<string> = new Set(['docker.io', 'hub.docker.com']);
const NO_CATALOG: ReadonlySet<string> = new Set([DOCKER_HUB, 'ghcr.io']);

/** Returns why the host of a URL is known not to be a registry. */
function hostFault({ host, pathname }: URL): string | undefined {
  if (NOT_REGISTRIES.has(host)) return `is not a registry (the one of Docker Hub is https://${DOCKER_HUB})`;
  if (NO_CATALOG.has(host) && pathname !== '/')
    return `has a path, where only https://${host} is a registry (an owner belongs into registries.URL.listing, or into registries.URL.repositories as OWNER/NAME)`;
  return undefined;
}

/** The host of a registry that does not list its repositories; `undefined` for any other. */
export function hostWithoutCatalog(registry: string): string | undefined {
  const host = URL.parse(registry)?.host;
  return host !== undefined && NO_CATALOG.has(host) ? host : undefined;
}
