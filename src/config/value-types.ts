/** Types of single values in the configuration file, with the rule of each. */
import { isIP } from 'node:net';
import { basename } from 'node:path';
import {
  Type,
  type StaticDecode,
  type TObject,
  type TOptional,
  type TProperties,
  type TSchema,
  type TSchemaOptions,
  type TString,
} from 'typebox';
import { DecodeUnsafe, Default } from 'typebox/value';
import { isRepositoryName } from '../registry/reference.ts';
import { LAYOUT_PREFIX } from '../registry/registry-id.ts';
import { parseByteSize } from './byte-size.ts';
import { databaseFault, loginFault, withHost } from './database-url.ts';
import { formatDuration, parseDuration } from './duration.ts';

/** Annotations of a key, and the keywords of JSON Schema that are read here. */
interface Annotations {
  readonly minItems?: number;
  readonly minProperties?: number;
  readonly propertyNames?: TSchema;
  readonly dependentRequired?: Record<string, string[]>;
  readonly description?: string;
  /** Value of a key that is left out. */
  readonly default?: unknown;
  /** Meaning of a key that is left out, where it is not a constant. */
  readonly otherwise?: string;
  /** Value to show where there is no `default`. */
  readonly example?: unknown;
  /** Words that follow "expected". */
  readonly expected?: string;
  /** The value must not be shown, nor any part of it. */
  readonly secret?: true;
  /**
   * A path, relative to the folder of the configuration file; `readable` if it must lead to a file that can be read
   * now, `output` to one that may be replaced.
   */
  readonly path?: 'any' | 'readable' | 'output';
  /** Name for the keys of a record in documentation. */
  readonly placeholder?: string;
  /** Keys that a section had once, each with what to do instead, in words that follow the key. */
  readonly removed?: Readonly<Record<string, string>>;
}

/** Annotations and any other keyword. */
type Options = Annotations & TSchemaOptions;

/** Returns the annotations of a schema. */
export function annotationsOf(schema: TSchema): Annotations {
  return schema;
}

/** `Section` with its own keys, which are snake_case in the file, in camelCase. */
type CamelKeys<Section> = {
  readonly [Key in keyof Section as Key extends string ? CamelCase<Key> : never]: Section[Key];
};
type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

/** `Keys` without the question mark of those that may be left out. */
type Properties<Keys extends TProperties> = {
  [Key in keyof Keys as Key extends `${infer Name}?` ? Name : Key]: Key extends `${string}?`
    ? TOptional<Keys[Key]>
    : Keys[Key];
};

/** A mapping of known keys; those that end with a question mark may be left out. */
export function section<Keys extends TProperties>(keys: Keys, options: Options = {}) {
  type Section = StaticDecode<TObject<Properties<Keys>>>;
  const properties = Object.fromEntries(
    Object.entries(keys).map(([key, schema]) =>
      key.endsWith('?') ? [key.slice(0, -1), Type.Optional(schema)] : [key, schema],
    ),
  ) as Properties<Keys>;
  return Type.Decode(Type.Object(properties, options), (written) => {
    const entries = Object.entries(written).map(([key, value]) => [camelCase(key), value]);
    return Object.fromEntries(entries) as CamelKeys<Section>;
  });
}

/** What a section says of which all keys are left out. */
export function emptySection<Section extends TSchema>(schema: Section): StaticDecode<Section> {
  return DecodeUnsafe({}, schema, Default(schema, {})) as StaticDecode<Section>;
}

function camelCase(key: string): string {
  return key.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** A mapping of keys that the user chooses, line breaks in them included. */
export function record<Value extends TSchema>(value: Value, options: Options) {
  return Type.Record(Type.String({ pattern: '^[^]*$' }), value, options);
}

/** An element of a list: a text that is not empty. */
export function word(expected: string) {
  return Type.String({ minLength: 1, expected });
}

/** A text that is not empty. */
export function text(description: string, options: Options = {}) {
  return Type.String({ description, minLength: 1, expected: 'a text', ...options });
}

/** A text that is a password or token, or may hold one. */
export function secret(description: string, options: Options = {}) {
  return text(description, { secret: true, ...options });
}

/** One of several words. */
export function oneOf<Word extends string>(description: string, words: readonly Word[], options: Options) {
  const expected = `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
  return Type.Enum([...words], { description, expected, ...options });
}

/**
 * `schema` with a rule: `fault` returns what is wrong with a value, empty to have the value shown; `undefined` if
 * nothing is.
 */
function withRule(schema: TString, fault: (written: string) => string | undefined) {
  return Type.Refine(
    schema,
    (written) => fault(written) === undefined,
    (written) => fault(written) ?? '',
  );
}

/** A text that can be sent as a bearer token (RFC 6750, section 2.1, without insisting on its alphabet). */
export function bearerToken(description: string, options: Options) {
  return withRule(secret(description, { expected: TOKEN_CHARACTERS, ...options }), (token) =>
    isBearerToken(token) ? undefined : 'cannot be sent in a header',
  );
}

/** Whose repositories are listed: the path that their names begin with, in any case. */
export function repositoryOwner(description: string, kind: 'path' | 'name', options: Options) {
  return withRule(text(description, options), (written) =>
    isRepositoryName(written.toLowerCase()) && (kind === 'path' || !written.includes('/')) ? undefined : '',
  );
}

/** Characters of a bearer token, for messages. */
export const TOKEN_CHARACTERS = 'visible ASCII characters without spaces';

/** Says whether a text consists of {@link TOKEN_CHARACTERS}. */
export function isBearerToken(token: string): boolean {
  return /^[\x21-\x7e]+$/.test(token);
}

/** True or false. */
export function flag(description: string, options: Options) {
  return Type.Boolean({ description, expected: 'true or false', ...options });
}

/** A whole number within two bounds, both included. */
export function wholeNumber(description: string, minimum: number, maximum: number, options: Options) {
  return Type.Integer({
    description,
    minimum,
    maximum,
    expected: `a whole number from ${minimum} to ${maximum}`,
    ...options,
  });
}

/** A list of texts; `each` says what an element must be. */
export function texts(description: string, each: string, options: Options & { readonly minItems?: number }) {
  return Type.Array(word(each), { description, ...options });
}

/** A list of patterns of names with `*` and `?`. */
export function globs(description: string, options: Options & { readonly minItems?: number }) {
  return texts(description, 'a glob such as stable or "v*"', options);
}

/** Longest interval and timeout, in milliseconds: as many whole days as one of Node's timers can wait for. */
export const MAX_INTERVAL = 24 * 86_400_000;

/** A length of time, in milliseconds as its bounds are. */
export function duration(
  description: string,
  options: Options & { readonly minimum?: number; readonly maximum?: number },
) {
  const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER, ...others } = options;
  const expected = [
    'a duration such as 500ms, 30s, 5m, 1h or 1d',
    ...(minimum > 0 ? [`at least ${formatDuration(minimum)}`] : []),
    ...(maximum < Number.MAX_SAFE_INTEGER ? [`at most ${formatDuration(maximum)}`] : []),
  ].join(', ');
  const isWithin = (written: string | number): boolean => {
    const milliseconds = parseDuration(written) ?? Number.NaN;
    return milliseconds >= minimum && milliseconds <= maximum;
  };
  const schema = Type.Union([Type.String(), Type.Number()], { description, expected, ...others });
  return Type.Decode(
    Type.Refine(schema, isWithin, () => ''),
    (written) => parseDuration(written) ?? Number.NaN,
  );
}

/** A number of bytes. */
export function byteSize(description: string, options: Options) {
  const expected = 'a size such as 500kB, 100MB or 1GiB';
  const schema = Type.Union([Type.String(), Type.Number()], { description, expected, ...options });
  return Type.Decode(
    Type.Refine(
      schema,
      (written) => parseByteSize(written) !== undefined,
      () => '',
    ),
    (written) => parseByteSize(written) ?? Number.NaN,
  );
}

/** A file or folder that need not exist. */
export function path(description: string, options: Options = {}) {
  return withRule(text(description, { expected: 'a path', path: 'any', ...options }), (written) =>
    written.includes('\0') ? '' : undefined,
  );
}

/** A file that must exist, and be readable, when the configuration is read. */
export function readableFile(description: string, options: Options = {}) {
  return path(description, { expected: 'a file that can be read', path: 'readable', ...options });
}

/** A file to write an index to; its name without `.json` is part of a URL. */
export function outputFile(description: string, options: Options) {
  const schema = path(description, {
    expected: 'the path of a file such as /var/www/html/index/apps.json',
    path: 'output',
    ...options,
  });
  return withRule(schema, (written) =>
    written.endsWith('/') || ['', '.', '..'].includes(outputName(written)) ? 'does not name a file' : undefined,
  );
}

/** The name of an output file without its folder and `.json`. */
function outputName(output: string): string {
  return basename(output).replace(/\.json$/, '');
}

/** FILE of the route `/index/FILE.json`. */
export function fileNameOf(name: string, output: string | undefined): string {
  return output === undefined ? name : outputName(output);
}

/** First path segments of the server's own routes. */
export const ROUTES: ReadonlySet<string> = new Set([
  'index',
  'icons',
  'deltas',
  'healthz',
  'readyz',
  'status',
  'metrics',
  'reindex',
  'events',
  'v2',
  'api',
  'page',
  'openapi.json',
  'sitemap.xml',
  'robots.txt',
  'screenshots',
]);

/** A name of an index, which is also a path segment of its URLs. */
export function indexName() {
  const name = Type.String({
    pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
    maxLength: 255,
    expected: 'a name such as apps, of at most 255 letters, digits, ".", "_" and "-"',
  });
  return withRule(name, (written) =>
    ROUTES.has(written) ? "has the name of one of the server's own routes" : undefined,
  );
}

/** Addresses of proxies as in Fastify's `trustProxy`: IP addresses, networks, or names of such. */
export function proxyAddresses() {
  return withRule(word('an IP address, a network such as 10.0.0.0/8, or loopback'), (written) =>
    written.split(',').every((address) => isProxyAddress(address.trim())) ? undefined : '',
  );
}

function isProxyAddress(address: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(address)) return true;
  const [ip = '', bits = '0', ...rest] = address.split('/');
  const longest = isIP(ip) === 4 ? 32 : 128;
  return isIP(ip) !== 0 && rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= longest;
}

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
