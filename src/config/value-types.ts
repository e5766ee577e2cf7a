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
import { parseByteSize } from './byte-size.ts';
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
export type Options = Annotations & TSchemaOptions;

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

/** Value of a section of which all keys are left out. */
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

/** One of several words; by default the first. */
export function oneOf<Word extends string>(
  description: string,
  words: readonly Word[],
  options: Options = { default: words[0] },
) {
  const expected = `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
  return Type.Enum([...words], { description, expected, ...options });
}

/**
 * `schema` with a rule: `fault` returns what is wrong with a value, empty to have the value shown; `undefined` if
 * nothing is.
 */
export function withRule(schema: TString, fault: (written: string) => string | undefined) {
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

/** True or false; by default false. */
export function flag(description: string, options: Options = { default: false }) {
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
