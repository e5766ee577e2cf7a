/** Rules between keys, each of which is right by itself. */
import { closest } from 'fastest-levenshtein';
import { Check } from 'typebox/schema';
import { CoveredRepositories } from '../registry/covered-repositories.ts';
import { OWNER_KEYS } from '../registry/listing/listing-api.ts';
import { LISTING_APIS, listingKindOf, listingUrl } from '../registry/listing/listing-apis.ts';
import { isRepositoryName } from '../registry/reference.ts';
import { LAYOUT_PREFIX, registryId } from '../registry/registry-id.ts';
import { databaseParts } from './database-url.ts';
import { pathText, shown, type KeyPath, type Problems } from './problems.ts';
import type { ConfigFile } from './schema.ts';
import { IN_STATE_DIR, hostWithoutCatalog, isAmqp, registryUrl } from './url-types.ts';
import { ROUTES, fileNameOf } from './value-types.ts';

/** `T` where any part may be missing because it was wrong. */
export type Incomplete<T> = T extends readonly (infer Element)[]
  ? readonly Incomplete<Element>[]
  : T extends object
    ? { readonly [Key in keyof T]?: Incomplete<T[Key]> | undefined }
    : T;

/** Input of each rule. */
interface Written {
  readonly config: Incomplete<ConfigFile>;
  /** Indexes in the order of the file. */
  readonly names: readonly string[];
  /** The folder of the file. */
  readonly folder: string;
}

/** A broken rule: where, what is wrong and what was expected, and whether it is shown at the key. */
type Fault = readonly [path: KeyPath, message: string, at?: 'key'];

/** Adds a problem for each rule of {@link RULES} that is broken. */
export function checkRules(written: Written, problems: Problems): void {
  for (const rule of RULES) for (const fault of rule(written)) problems.add(...fault);
}

const RULES: readonly ((written: Written) => Iterable<Fault>)[] = [
  outputsDiffer,
  defaultIndexExists,
  remoteIconsHaveUrls,
  deltasHaveUrls,
  basePathIsFree,
  registriesAreRead,
  registriesWithoutCatalogAreListed,
  listingsAreWhole,
  someRepositoryIsTaken,
  passwordIsGivenOnce,
  busKeysFitProtocol,
];

/** No two indexes write the same file or answer at the same URL. */
function* outputsDiffer({ config: { indexes = {} }, names }: Written): Iterable<Fault> {
  const [writers, owners] = [new Map<string, string>(), new Map<string, string>()];
  for (const name of names) {
    const output = indexes[name]?.output;
    const fileName = fileNameOf(name, output);
    const writer = output === undefined ? undefined : writers.get(output);
    const owner = owners.get(fileName);
    const path = ['indexes', name, 'output'];
    const taken = `gives index ${name} the URL /index/${fileName}.json, which index ${owner} has, expected another name`;
    if (writer !== undefined)
      yield [path, `is the file that index ${writer} writes too, expected another for index ${name}`];
    else if (owner !== undefined) yield output === undefined ? [path.slice(0, 2), taken, 'key'] : [path, taken];
    if (output !== undefined) writers.set(output, writer ?? name);
    owners.set(fileName, owner ?? name);
  }
}

function* defaultIndexExists({ config: { default_index: name }, names }: Written): Iterable<Fault> {
  if (name !== undefined && names.length > 0 && !names.includes(name))
    yield [['default_index'], `does not name an index, expected ${shown(closest(name, names))} (the nearest)`];
}

/** Clients keep app data by itself: what it names must be whole URLs. */
function* remoteIconsHaveUrls({
  config: { indexes = {}, icons_uri: iconsUri = '', server },
}: Written): Iterable<Fault> {
  const isKnown = server?.base_url !== undefined || URL.canParse(iconsUri);
  for (const [name, index] of Object.entries(indexes)) {
    const path = ['indexes', name, 'remote_icons'];
    if (index?.remote_icons !== true) continue;
    if (index.extract_icons === false) yield [path, 'is set without extract_icons, expected both or neither', 'key'];
    if (!isKnown)
      yield [
        path,
        'is set while the URL of icons is not known, expected server.base_url, or a whole URL as icons_uri',
        'key',
      ];
  }
}

/** Deltas are named by whole URLs, or pulled from this server as what else is in a repository. */
function* deltasHaveUrls({ config: { indexes = {}, server } }: Written): Iterable<Fault> {
  if (server?.base_url !== undefined) return;
  for (const [name, index] of Object.entries(indexes)) {
    const { deltas, registry = '', registry_public: registryPublic } = index ?? {};
    if (deltas === undefined || deltas === false) continue;
    if ((registryPublic ?? (registry.startsWith(LAYOUT_PREFIX) ? '/' : registry)) === '/') continue;
    yield [
      ['indexes', name, 'deltas'],
      'is set while the URL of deltas is not known, expected server.base_url, or / as registry_public where clients pull from this server',
      'key',
    ];
  }
}

/** A path before the server's own must not begin as these do: where a proxy strips it, the two cannot be told apart. */
function* basePathIsFree({ config: { server }, names }: Written): Iterable<Fault> {
  const [, first = ''] = URL.parse(server?.base_url ?? '')?.pathname.split('/') ?? [];
  const fault = `has a path that begins with /${first}, which is`;
  if (ROUTES.has(first)) yield [BASE_URL, `${fault} one of the server's own routes, expected another path`];
  else if (first !== '' && names.includes(first))
    yield [BASE_URL, `${fault} where index ${first} answers, expected another path, or another name for the index`];
}

const BASE_URL = ['server', 'base_url'];

/** Each section of `registries` belongs to a registry that is read, and is the only one. */
function* registriesAreRead(written: Written): Iterable<Fault> {
  const used = new Map(indexesOf(written).flatMap(({ id, registry }) => (registry === '' ? [] : [[id, registry]])));
  const seen = new Set<string>();
  for (const { url, id } of registriesOf(written)) {
    const path = ['registries', url];
    const nearest = shown(used.get(closest(id, [...used.keys()])));
    if (seen.has(id)) yield [path, 'is a registry that has a section already, expected one for each', 'key'];
    else if (!used.has(id) && used.size > 0)
      yield [path, `is a registry that no index reads, expected one such as ${nearest} (the nearest)`, 'key'];
    seen.add(id);
  }
}

/** A registry that does not list its repositories needs their names, or another list. */
function* registriesWithoutCatalogAreListed(written: Written): Iterable<Fault> {
  for (const { name, registry, url, repositories, listing } of indexesOf(written)) {
    const host = hostWithoutCatalog(registry);
    if (host === undefined || repositories.length > 0 || listing !== undefined) continue;
    const names = pathText(['registries', url, 'repositories']);
    yield [
      ['indexes', name, 'registry'],
      `is a registry that does not list its repositories, expected ${listingText(url, host)}, or their names in ${names}`,
    ];
  }
  for (const { url, repositories, listing } of registriesOf(written)) {
    const host = hostWithoutCatalog(url);
    if (host === undefined || listing !== undefined) continue;
    // Object.entries passes over those that were wrong.
    for (const [position, pattern] of Object.entries(repositories).filter(([, name]) => !isRepositoryName(name))) {
      const fault = `is ${shown(pattern)}, but ${host} has no list of repositories to compare it with`;
      const expected = `expected a name such as owner/app, without globs, or ${listingText(url, host)}`;
      yield [['registries', url, 'repositories', Number(position)], `${fault}, ${expected}`];
    }
  }
}

function listingText(url: string, host: string): string {
  return `${pathText(['registries', url, 'listing'])} with the kind ${listingKindOf(host)}`;
}

/** A list says whose repositories it has, where, and with which token, by the keys of its kind. */
function* listingsAreWhole(written: Written): Iterable<Fault> {
  for (const { url: registry, listing } of registriesOf(written)) {
    const path = ['registries', registry, 'listing'];
    if (listing !== undefined && registry.startsWith(LAYOUT_PREFIX)) {
      yield [path, 'is given for a folder, which lists its repositories itself, expected it to be left out', 'key'];
      continue;
    }
    if (listing?.kind === undefined) continue;
    const { kind, url, username, token, token_file: tokenFile, project } = listing;
    const { ownerKeys, login, needsToken = false, expectedToken } = LISTING_APIS[kind];
    const given = OWNER_KEYS.filter((key) => listing[key] !== undefined);
    const [own, ...others] = given.filter((key) => ownerKeys.includes(key));
    const expected = ownerKeys.join(' or ');
    for (const key of given.filter((each) => !ownerKeys.includes(each)))
      yield [[...path, key], `does not belong to the kind ${kind}, expected ${expected}`, 'key'];
    for (const key of others) yield [[...path, key], `is given beside ${own}, expected only one of them`, 'key'];
    if (given.length === 0) yield [path, `does not say whose repositories to list, expected ${expected} in it`, 'key'];
    if (kind === 'harbor' && project?.includes('/') === true)
      yield [[...path, 'project'], `is ${shown(project)}, expected the name of a project, without a slash`];
    if (url === undefined && listingUrl(kind, registry) === undefined)
      yield [path, 'does not say where the API for this registry is, expected it in url', 'key'];
    const hasToken = token !== undefined || tokenFile !== undefined;
    if (needsToken && !hasToken) yield [path, `has no token, expected ${expectedToken}, in token or token_file`, 'key'];
    if (username === undefined && hasToken && login === 'token of a required user')
      yield [path, 'has a token without username, expected both', 'key'];
    if (username !== undefined && login === 'token')
      yield [[...path, 'username'], `does not belong to the kind ${kind}, expected the token alone`, 'key'];
    else if (username !== undefined && !hasToken)
      yield [[...path, 'username'], 'is given without a token, expected both or neither', 'key'];
  }
}

/** Globs that match any name. */
const EVERYTHING = /^(?:\*\*\/)*\*\*$|^(?:\*\*\/)+\*$/;

/** Each index takes some repository. */
function* someRepositoryIsTaken(written: Written): Iterable<Fault> {
  for (const { name, url, include, exclude, repositories } of indexesOf(written)) {
    const all = exclude.findIndex((pattern) => EVERYTHING.test(pattern));
    const { named, names } = new CoveredRepositories(repositories);
    const [included, excluded] = [new CoveredRepositories(include), new CoveredRepositories(exclude)];
    const isTaken = (repository: string): boolean =>
      included.has(repository) && (exclude.length === 0 || !excluded.has(repository));
    if (all !== -1)
      yield [['indexes', name, 'repository_exclude', all], 'leaves out every repository, expected globs of some'];
    else if (named && ![...names].some(isTaken)) {
      const where = pathText(['registries', url, 'repositories']);
      yield [
        ['indexes', name],
        `takes none of the repositories that ${where} names, expected repository_include and repository_exclude to leave one`,
        'key',
      ];
    }
  }
}

function* passwordIsGivenOnce({ config: { store, store_password_file: file } }: Written): Iterable<Fault> {
  const path = ['store_password_file'];
  if (store === undefined || file === undefined) return;
  if (store === IN_STATE_DIR)
    yield [path, `is given while store is ${IN_STATE_DIR}, expected it beside the URL of a database alone`, 'key'];
  else if (databaseParts(store).password !== undefined)
    yield [path, 'is given beside a password in store, expected only one of them', 'key'];
}

/** All brokers speak one protocol, and no key is for the other one. */
function* busKeysFitProtocol({ config: { bus = {} } }: Written): Iterable<Fault> {
  const urls = typeof bus.url === 'string' ? [bus.url] : (bus.url ?? []);
  const first = urls.find((url) => url !== undefined);
  if (first === undefined) return;
  const amqp = isAmqp(first);
  for (const [position, url] of urls.entries())
    if (url !== undefined && isAmqp(url) !== amqp)
      yield [['bus', 'url', position], 'is of another protocol than the first, expected only brokers of one protocol'];
  const [own, others] = amqp ? ['AMQP', 'stomp:// or stomps://'] : ['STOMP', 'amqp:// or amqps://'];
  const destinations = Object.entries(bus.destinations ?? []).map(([position, destination]) => ({
    path: ['destinations', Number(position), 'headers'],
    isGiven: typeof destination === 'object' && Object.keys(destination.headers ?? {}).length > 0,
  }));
  const keys = amqp
    ? [{ path: ['headers'], isGiven: Object.keys(bus.headers ?? {}).length > 0 }, ...destinations]
    : (['exchange', 'queue'] as const).map((key) => ({ path: [key], isGiven: bus[key] !== undefined }));
  for (const { path } of keys.filter(({ isGiven }) => isGiven))
    yield [['bus', ...path], `is given for a broker that speaks ${own}, expected only with ${others}`, 'key'];
}

/** The sections of `registries` whose URLs are right. */
function registriesOf({ config: { registries = {} }, folder }: Written) {
  return Object.entries(registries)
    .filter(([url]) => Check(registryUrl(), url))
    .map(([url, { repositories = [], listing } = {}]) => ({ url, id: registryId(url, folder), repositories, listing }));
}

/** The indexes, with the section of their registry; `registry` is empty if it was wrong. */
function indexesOf(written: Written) {
  const sections = new Map(registriesOf(written).map((section) => [section.id, section]));
  return Object.entries(written.config.indexes ?? {}).map(([name, index = {}]) => {
    const { registry = '', repository_include: include = [], repository_exclude: exclude = [] } = index;
    const id = registry === '' ? '' : registryId(registry, written.folder);
    const { url = registry, repositories = [], listing } = sections.get(id) ?? {};
    return { name, registry, id, url, repositories, listing, include, exclude };
  });
}
