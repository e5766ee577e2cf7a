/** Finds what is wrong between the keys of a configuration, each of which is right by itself. */
import { closest } from 'fastest-levenshtein';
import { Check } from 'typebox/schema';
import { CoveredRepositories } from '../registry/covered-repositories.ts';
import { isRepositoryName } from '../registry/reference.ts';
import { registryId } from '../registry/registry-id.ts';
import type { Incomplete } from './incomplete.ts';
import { ROUTES } from './index-name.ts';
import { hostWithoutCatalog } from './known-hosts.ts';
import { pathText, shown, type KeyPath } from './problem.ts';
import type { ProblemList } from './problem-list.ts';
import { outputName } from './rules.ts';
import type { ConfigFile } from './schema.ts';
import { registryUrl } from './url-rules.ts';

type Written = Incomplete<ConfigFile>;

/** Adds a problem for each contradiction in `written`. `names` are the indexes in the order of the file. */
export function checkRelations(written: Written, names: readonly string[], folder: string, problems: ProblemList): void {
  checkFiles(written, names, problems);
  checkDefaultIndex(written, names, problems);
  checkRemoteIcons(written, names, problems);
  checkCollections(written, names, problems);
  checkBasePath(written, names, problems);
  checkRegistries(written, folder, problems);
  checkRepositories(written, folder, problems);
  checkPair(written.bus ?? {}, ['bus'], 'client_cert', 'client_key', problems);
  for (const token of ['admin_token', 'events_token'] as const) {
    if (written.server?.[token] !== undefined && written.server[`${token}_file`] !== undefined) {
      problems.add(['server', `${token}_file`], `is given beside ${token}, expected only one of them`, 'key');
    }
  }
}

/** No two indexes write the same file or answer at the same URL. */
function checkFiles(written: Written, names: readonly string[], problems: ProblemList): void {
  const outputs = new Map<string, string>();
  const fileNames = new Map<string, string>();
  for (const name of names) {
    const output = written.indexes?.[name]?.output;
    const fileName = fileNameOf(name, output);
    const path: KeyPath = ['indexes', name, ...(output === undefined ? [] : ['output'])];
    const sameOutput = output === undefined ? undefined : outputs.get(output);
    const sameName = fileNames.get(fileName);
    if (sameOutput !== undefined) {
      problems.add(path, `is the file that index ${sameOutput} writes too, expected another for index ${name}`);
    } else if (sameName !== undefined) {
      const message = `gives index ${name} the URL /index/${fileName}.json, which index ${sameName} has, expected another name`;
      problems.add(path, message, output === undefined ? 'key' : 'value');
    }
    if (output !== undefined && sameOutput === undefined) outputs.set(output, name);
    if (sameName === undefined) fileNames.set(fileName, name);
  }
}

/** FILE of the route `/index/FILE.json`. */
export function fileNameOf(name: string, output: string | undefined): string {
  return output === undefined ? name : outputName(output);
}

function checkDefaultIndex({ default_index: name }: Written, names: readonly string[], problems: ProblemList): void {
  if (name === undefined || names.length === 0 || names.includes(name)) return;
  problems.add(['default_index'], `names no index, expected ${shown(closest(name, names))} (the nearest)`);
}

/** Clients keep app data by itself: what it names must be whole URLs. */
function checkRemoteIcons({ indexes = {}, icons_uri: iconsUri = '', server }: Written, names: readonly string[], problems: ProblemList): void {
  for (const name of names) {
    const path: KeyPath = ['indexes', name, 'remote_icons'];
    if (indexes[name]?.remote_icons !== true) continue;
    if (indexes[name].extract_icons === false) problems.add(path, 'is set without extract_icons, expected both or neither', 'key');
    if (server?.base_url === undefined && !URL.canParse(iconsUri)) problems.add(path, 'is set while the URL of icons is not known, expected server.base_url, or a whole URL as icons_uri', 'key');
  }
}

/** Flatpak before 1.17 refuses files with a collection ID and without a key. */
function checkCollections({ indexes }: Written, names: readonly string[], problems: ProblemList): void {
  for (const name of names) {
    const section = indexes?.[name];
    if (section?.collection_id !== undefined && section.gpg_key === undefined) problems.add(['indexes', name, 'collection_id'], 'is given without gpg_key, expected both', 'key');
  }
}

/** A path before the server's own must not begin as these do: where a proxy strips it, nobody could tell which is meant. */
function checkBasePath({ server }: Written, names: readonly string[], problems: ProblemList): void {
  const [, first = ''] = URL.parse(server?.base_url ?? '')?.pathname.split('/') ?? [];
  const path: KeyPath = ['server', 'base_url'];
  if (ROUTES.has(first)) problems.add(path, `has a path that begins with /${first}, which is one of the server's own routes, expected another path`);
  else if (first !== '' && names.includes(first)) problems.add(path, `has a path that begins with /${first}, which is where index ${first} answers, expected another path, or another name for the index`);
}

/** Each registry's section belongs to a registry that is read, and is the only one. */
function checkRegistries({ indexes = {}, registries = {} }: Written, folder: string, problems: ProblemList): void {
  const used = new Map<string, string>();
  for (const index of Object.values(indexes)) {
    if (index?.registry !== undefined) used.set(registryId(index.registry, folder), index.registry);
  }
  const seen = new Set<string>();
  for (const [url, section] of Object.entries(registries)) {
    const path = ['registries', url];
    checkPair(section ?? {}, path, 'client_cert', 'client_key', problems);
    checkPair(section ?? {}, path, 'username', 'password', problems);
    if (!Check(registryUrl(), url)) continue;
    const id = registryId(url, folder);
    if (seen.has(id)) problems.add(path, 'is a registry that has a section already, expected one for each', 'key');
    else if (!used.has(id) && used.size > 0) {
      const nearest = used.get(closest(id, [...used.keys()]));
      problems.add(path, `is a registry that no index reads, expected one such as ${shown(nearest)} (the nearest)`, 'key');
    }
    seen.add(id);
  }
}

/** Each index takes some repository, and each registry is asked for what it can answer. */
function checkRepositories({ indexes = {}, registries = {} }: Written, folder: string, problems: ProblemList): void {
  const sections = new Map(Object.entries(registries).flatMap(([url, section]) => (Check(registryUrl(), url) ? [[registryId(url, folder), { url, patterns: section?.repositories ?? [] }]] : [])));
  for (const [name, index] of Object.entries(indexes)) {
    const { registry, repository_include: include = [], repository_exclude: exclude = [] } = index ?? {};
    const all = exclude.findIndex((pattern) => EVERYTHING.test(pattern));
    if (all !== -1) problems.add(['indexes', name, 'repository_exclude', all], 'leaves out every repository, expected globs of some');
    if (registry === undefined) continue;
    const section = sections.get(registryId(registry, folder));
    const host = hostWithoutCatalog(registry);
    if (host !== undefined && (section === undefined || section.patterns.length === 0)) {
      const where = pathText(['registries', section?.url ?? registry, 'repositories']);
      problems.add(['indexes', name, 'registry'], `is a registry that does not list its repositories, expected their names in ${where}`);
    }
    const read = new CoveredRepositories(section?.patterns ?? []);
    const isTaken = (repository: string): boolean => new CoveredRepositories(include).has(repository) && !(exclude.length > 0 && new CoveredRepositories(exclude).has(repository));
    if (read.named && all === -1 && ![...read.names].some(isTaken)) {
      problems.add(['indexes', name], `takes none of the repositories that ${pathText(['registries', section?.url ?? '', 'repositories'])} names, expected repository_include and repository_exclude to leave one`, 'key');
    }
  }
  for (const { url, patterns } of sections.values()) {
    const host = hostWithoutCatalog(url);
    if (host === undefined) continue;
    for (const [position, pattern] of patterns.entries()) {
      if (!isRepositoryName(pattern)) problems.add(['registries', url, 'repositories', position], `is ${shown(pattern)}, but ${host} has no list of repositories to compare it with, expected a name such as owner/app, without globs`);
    }
  }
}

/** Globs that match any name. */
const EVERYTHING = /^(?:\*\*\/)*\*\*$|^(?:\*\*\/)+\*$/;

function checkPair<Key extends string>(
  section: Readonly<Partial<Record<Key, unknown>>>,
  path: KeyPath,
  first: Key,
  second: Key,
  problems: ProblemList,
): void {
  for (const [key, other] of [
    [first, second],
    [second, first],
  ] as const) {
    if (section[key] !== undefined && section[other] === undefined) {
      problems.add([...path, key], `is given without ${other}, expected both or neither`, 'key');
    }
  }
}
