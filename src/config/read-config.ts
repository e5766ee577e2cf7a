/** Reads the configuration file. */
import { dirname, resolve } from 'node:path';
import { isMap, type Node } from 'yaml';
import { checkMachine } from './check-machine.ts';
import { checkRules, type Incomplete } from './check-rules.ts';
import { checkValues } from './check-values.ts';
import type { Config } from './config.ts';
import { Problems, nameOf, type KeyPath } from './problems.ts';
import type { Environment } from './replace-variables.ts';
import { resolveConfig } from './resolve-config.ts';
import { configSchema, type ConfigFile } from './schema.ts';
import { expandDocument } from './expand-document.ts';
import { readStore } from './read-store.ts';
import { readTextFile } from './text-file.ts';
import { TOKEN_CHARACTERS, isBearerToken } from './value-types.ts';
import { readYamlFile } from './yaml-file.ts';

/**
 * Reads the configuration in `file`, with variables, and whatever else concerns registries and the database, from
 * `environment`. Also reads the files that hold tokens and a password, and looks whether certificates and keys can be
 * read.
 * @throws ConfigError with every problem that the file has.
 */
export function readConfig(file: string, environment: Environment): Config {
  return read(file, environment).config;
}

/**
 * Reads the configuration as {@link readConfig} does, and checks that this machine has the folders and the address that
 * it names.
 * @throws ConfigError with every problem that was found.
 */
export async function checkConfig(file: string, environment: Environment): Promise<Config> {
  const { config, problems } = read(file, environment);
  await checkMachine(config, problems);
  problems.throwIfAny();
  return config;
}

function read(file: string, environment: Environment): { readonly config: Config; readonly problems: Problems } {
  const absolute = resolve(file);
  const folder = dirname(absolute);
  const { document, text, lines } = readYamlFile(file);
  const problems = new Problems(file, document, lines);
  expandDocument(document, text, lines, environment, problems);
  const config = checkValues(configSchema, document, folder, problems) as Incomplete<ConfigFile>;
  const indexes = document.getIn(['indexes'], true);
  // JavaScript's objects do not keep the order of keys that are numbers.
  const names = isMap<Node>(indexes) ? indexes.items.map(nameOf) : [];
  checkRules({ config, names, folder }, problems);
  // These are read again when they are needed.
  for (const url of Object.keys(config.registries ?? {}))
    readToken(['registries', url, 'listing', 'token_file'], config, problems);
  const values = {
    adminToken: config.server?.admin_token ?? readToken(['server', 'admin_token_file'], config, problems),
    eventsToken: config.server?.events_token ?? readToken(['server', 'events_token_file'], config, problems),
    store: readStore(config, { folder, environment, problems }),
  };
  problems.throwIfAny();
  return { config: resolveConfig(absolute, config as ConfigFile, names, values, environment), problems };
}

const LONGEST_TOKEN_FILE = 16 * 1024;

/** The token in the file that the key at `path` names, trimmed; adds a problem if it does not hold one. */
function readToken(path: KeyPath, config: Incomplete<ConfigFile>, problems: Problems): string | undefined {
  const file = valueAt(config, path);
  if (typeof file !== 'string') return undefined;
  const content = readTextFile(file, LONGEST_TOKEN_FILE);
  const token = 'text' in content ? content.text.trim() : undefined;
  if (token !== undefined && isBearerToken(token)) return token;
  const fault = 'fault' in content ? content.fault : token === '' ? 'is empty' : 'does not hold a token';
  problems.add(path, `names a file that ${fault}, expected a token of ${TOKEN_CHARACTERS}`);
  return undefined;
}

function valueAt(config: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>((value, key) => (value as Readonly<Record<string, unknown>> | undefined)?.[key], config);
}
