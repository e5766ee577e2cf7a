/** Finds what is wrong between the keys of a configuration, each of which is right by itself. */
import { closest } from 'fastest-levenshtein';
import { Check } from 'typebox/schema';
import { registryId } from '../registry/registry-id.ts';
import type { Incomplete } from './incomplete.ts';
import { shown, type KeyPath } from './problem.ts';
import type { ProblemList } from './problem-list.ts';
import { outputName } from './rules.ts';
import type { ConfigFile } from './schema.ts';
import { registryUrl } from './url-rules.ts';

type Written = Incomplete<ConfigFile>;

/** Adds a problem for each contradiction in `written`. `names` are the indexes in the order of the file. */
export function checkRelations(written: Written, names: readonly string[], folder: string, problems: ProblemList): void {
  checkFiles(written, names, problems);
  checkDefaultIndex(written, names, problems);
  checkRegistries(written, folder, problems);
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
