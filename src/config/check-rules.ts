/** Rules between keys, each of which is right by itself. */
import { closest } from 'fastest-levenshtein';
import { Check } from 'typebox/schema';
import { CoveredRepositories } from '../registry/covered-repositories.ts';
import { listingKindOf } from '../registry/listing/listing-apis.ts';
import { isRepositoryName } from '../registry/reference.ts';
import { LAYOUT_PREFIX, registryId } from '../registry/registry-id.ts';
import { databaseParts } from './database-url.ts';
import { listingFaults } from './listing-faults.ts';
import { pathText, shown, type Fault, type KeyPath, type Problems } from './problems.ts';
import type { ConfigFile } from './schema.ts';
import { IN_STATE_DIR, ROUTES, fileNameOf, hostWithoutCatalog, isAmqp, registryUrl } from './value-types.ts';

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

type Section = Readonly<Record<string, unknown>>;

/** Adds a problem for each rule of {@link RULES} that is broken. */
export function checkRules(written: Written, problems: Problems): void {
  for (const rule of RULES) for (const fault of rule(written)) problems.add(...fault);
}

const RULES: readonly ((written: Written) => Iterable<Fault>)[] = [
  outputsDiffer,
  defaultIndexExists,
  remoteIconsHaveUrls,
  basePathIsFree,
  registriesAreRead,
  registriesWithoutCatalogAreListed,
  listingsAreWhole,
  someRepositoryIsTaken,
  keysStandTogether,
  passwordIsGivenOnce,
  busKeysFitProtocol,
];

/** Keys that need another one; `section` is that of each index or registry for `indexes` and `registries`. */
const NEEDS: readonly {
  readonly section: 'bus' | 'indexes' | 'registries';
  readonly key: string;
  readonly other: string;
  readonly expected: string;
}[] = [
  ...(['bus', 'registries'] as const).flatMap((section) => both(section, 'client_cert', 'client_key')),
  ...both('registries', 'username', 'password'),
  // Flatpak before 1.17 refuses files with a collection ID and without a key.
  { section: 'indexes', key: 'collection_id', other: 'gpg_key', expected: 'both' },
];

function both(section: 'bus' | 'registries', first: string, second: string) {
  return [
    { section, key: first, other: second, expected: 'both or neither' },
    { section, key: second, other: first, expected: 'both or neither' },
  ];
}

function* keysStandTogether({ config }: Written): Iterable<Fault> {
  for (const { section, key, other, expected } of NEEDS) {
    const sections: readonly (readonly [KeyPath, unknown])[] =
      section === 'bus'
        ? [[[section], config.bus]]
        : Object.entries(config[section] ?? {}).map(([name, each]) => [[section, name], each]);
    for (const [path, keys = {}] of sections as readonly (readonly [KeyPath, Section | undefined])[]) {
      if (keys[key] !== undefined && keys[other] === undefined)
        yield [[...path, key], `is given without ${other}, expected ${expected}`, 'key'];
    }
  }
  for (const token of ['admin_token', 'events_token'] as const) {
    if (config.server?.[token] === undefined || config.server[`${token}_file`] === undefined) continue;
    yield [['server', `${token}_file`], `is given beside ${token}, expected only one of them`, 'key'];
  }
}

function* passwordIsGivenOnce({ config: { store, store_password_file: file } }: Written): Iterable<Fault> {
  if (store === undefined || file === undefined) return;
  const path = ['store_password_file'];
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
  if (!amqp) {
    for (const key of ['exchange', 'queue'] as const)
      if (bus[key] !== undefined)
        yield [['bus', key], 'is given for a broker that speaks STOMP, expected only with amqp:// or amqps://', 'key'];
    return;
  }
  const expected = 'is given for a broker that speaks AMQP, expected only with stomp:// or stomps://';
  if (Object.keys(bus.headers ?? {}).length > 0) yield [['bus', 'headers'], expected, 'key'];
  for (const [position, destination] of Object.entries(bus.destinations ?? []))
    if (typeof destination === 'object' && Object.keys(destination.headers ?? {}).length > 0)
      yield [['bus', 'destinations', Number(position), 'headers'], expected, 'key'];
}

/** No two indexes write the same file or answer at the same URL. */
function* outputsDiffer({ config, names }: Written): Iterable<Fault> {
  const outputs = new Map<string, string>();
  const fileNames = new Map<string, string>();
  for (const name of names) {
    const output = config.indexes?.[name]?.output;
    const fileName = fileNameOf(name, output);
    const sameOutput = output === undefined ? undefined : outputs.get(output);
    const sameName = fileNames.get(fileName);
    if (sameOutput !== undefined) {
      yield [
        ['indexes', name, 'output'],
        `is the file that index ${sameOutput} writes too, expected another for index ${name}`,
      ];
    } else if (sameName !== undefined) {
      const message = `gives index ${name} the URL /index/${fileName}.json, which index ${sameName} has, expected another name`;
      yield output === undefined ? [['indexes', name], message, 'key'] : [['indexes', name, 'output'], message];
    }
    if (output !== undefined && sameOutput === undefined) outputs.set(output, name);
    if (sameName === undefined) fileNames.set(fileName, name);
  }
}

function* defaultIndexExists({ config: { default_index: name }, names }: Written): Iterable<Fault> {
  if (name === undefined || names.length === 0 || names.includes(name)) return;
  yield [['default_index'], `does not name an index, expected ${shown(closest(name, names))} (the nearest)`];
}

/** Clients keep app data by itself: what it names must be whole URLs. */
function* remoteIconsHaveUrls({
  config: { indexes = {}, icons_uri: iconsUri = '', server },
  names,
}: Written): Iterable<Fault> {
  for (const name of names) {
    const path = ['indexes', name, 'remote_icons'];
    if (indexes[name]?.remote_icons !== true) continue;
    if (indexes[name].extract_icons === false)
      yield [path, 'is set without extract_icons, expected both or neither', 'key'];
    if (server?.base_url !== undefined || URL.canParse(iconsUri)) continue;
    yield [
      path,
      'is set while the URL of icons is not known, expected server.base_url, or a whole URL as icons_uri',
      'key',
    ];
  }
}

/** A path before the server's own must not begin as these do: where a proxy strips it, the two cannot be told apart. */
function* basePathIsFree({ config: { server }, names }: Written): Iterable<Fault> {
  const [, first = ''] = URL.parse(server?.base_url ?? '')?.pathname.split('/') ?? [];
  const path = ['server', 'base_url'];
  if (ROUTES.has(first))
    yield [
      path,
      `has a path that begins with /${first}, which is one of the server's own routes, expected another path`,
    ];
  else if (first !== '' && names.includes(first)) {
    yield [
      path,
      `has a path that begins with /${first}, which is where index ${first} answers, expected another path, or another name for the index`,
    ];
  }
}

/** Each section of `registries` belongs to a registry that is read, and is the only one. */
function* registriesAreRead({ config, folder }: Written): Iterable<Fault> {
  const { indexes = {} } = config;
  const used = new Map(
    Object.values(indexes).flatMap(({ registry } = {}) =>
      registry === undefined ? [] : [[registryId(registry, folder), registry]],
    ),
  );
  const seen = new Set<string>();
  for (const [url] of registriesOf(config)) {
    const id = registryId(url, folder);
    if (seen.has(id))
      yield [['registries', url], 'is a registry that has a section already, expected one for each', 'key'];
    else if (!used.has(id) && used.size > 0) {
      const nearest = used.get(closest(id, [...used.keys()]));
      yield [
        ['registries', url],
        `is a registry that no index reads, expected one such as ${shown(nearest)} (the nearest)`,
        'key',
      ];
    }
    seen.add(id);
  }
}

/** A registry that does not list its repositories needs their names, or another list. */
function* registriesWithoutCatalogAreListed(written: Written): Iterable<Fault> {
  for (const [name, { registry, url, patterns, listing }] of readBy(written)) {
    const host = hostWithoutCatalog(registry);
    if (host === undefined || patterns.length > 0 || listing !== undefined) continue;
    yield [
      ['indexes', name, 'registry'],
      `is a registry that does not list its repositories, expected ${listingText(url, host)}, or their names in ${pathText(['registries', url, 'repositories'])}`,
    ];
  }
  for (const [url, { repositories = [], listing }] of registriesOf(written.config)) {
    const host = hostWithoutCatalog(url);
    if (listing !== undefined) continue;
    // Object.entries passes over those that were wrong.
    for (const [position, pattern] of Object.entries(repositories)) {
      if (host === undefined || isRepositoryName(pattern)) continue;
      const path = ['registries', url, 'repositories', Number(position)];
      yield [
        path,
        `is ${shown(pattern)}, but ${host} has no list of repositories to compare it with, expected a name such as owner/app, without globs, or ${listingText(url, host)}`,
      ];
    }
  }
}

function listingText(url: string, host: string): string {
  return `${pathText(['registries', url, 'listing'])} with the kind ${listingKindOf(host)}`;
}

/** A list says whose repositories it has, where, and with which token, by the keys of its kind. */
function* listingsAreWhole({ config }: Written): Iterable<Fault> {
  for (const [url, { listing }] of registriesOf(config)) {
    const path = ['registries', url, 'listing'];
    if (listing !== undefined && url.startsWith(LAYOUT_PREFIX))
      yield [path, 'is given for a folder, which lists its repositories itself, expected it to be left out', 'key'];
    else if (listing?.kind !== undefined) yield* listingFaults(path, url, { ...listing, kind: listing.kind });
  }
}

/** Globs that match any name. */
const EVERYTHING = /^(?:\*\*\/)*\*\*$|^(?:\*\*\/)+\*$/;

/** Each index takes some repository. */
function* someRepositoryIsTaken(written: Written): Iterable<Fault> {
  const read = new Map(readBy(written));
  for (const [name, { repository_include: include = [], repository_exclude: exclude = [] } = {}] of Object.entries(
    written.config.indexes ?? {},
  )) {
    const all = exclude.findIndex((pattern) => EVERYTHING.test(pattern));
    if (all !== -1) {
      yield [['indexes', name, 'repository_exclude', all], 'leaves out every repository, expected globs of some'];
      continue;
    }
    const { url = '', patterns = [] } = read.get(name) ?? {};
    const { named, names } = new CoveredRepositories(patterns);
    const [included, excluded] = [new CoveredRepositories(include), new CoveredRepositories(exclude)];
    if (
      !named ||
      [...names].some((repository) => included.has(repository) && (exclude.length === 0 || !excluded.has(repository)))
    )
      continue;
    const where = pathText(['registries', url, 'repositories']);
    yield [
      ['indexes', name],
      `takes none of the repositories that ${where} names, expected repository_include and repository_exclude to leave one`,
      'key',
    ];
  }
}

/** The registry that each index reads, with the URL, the repositories and the list of its section. */
function readBy({ config, folder }: Written) {
  const sections = new Map(
    registriesOf(config).map(([url, { repositories: patterns = [], listing }]) => [
      registryId(url, folder),
      { url, patterns, listing },
    ]),
  );
  return Object.entries(config.indexes ?? {}).flatMap(([name, index]) => {
    const { registry } = index ?? {};
    if (registry === undefined) return [];
    return [
      [
        name,
        {
          registry,
          ...(sections.get(registryId(registry, folder)) ?? { url: registry, patterns: [], listing: undefined }),
        },
      ] as const,
    ];
  });
}

/** The sections of `registries` whose URLs are right. */
function registriesOf({ registries = {} }: Written['config']) {
  return Object.entries(registries).flatMap(([url, section]) =>
    Check(registryUrl(), url) ? [[url, section ?? {}] as const] : [],
  );
}
