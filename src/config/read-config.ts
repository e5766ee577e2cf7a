/** Reads the configuration file. */
import { dirname, resolve } from 'node:path';
import { checkMachine } from './check-machine.ts';
import { checkRelations } from './check-relations.ts';
import { ConfigReader } from './config-reader.ts';
import type { Config } from './config.ts';
import type { Incomplete } from './incomplete.ts';
import { ProblemList } from './problem-list.ts';
import { readTokens } from './read-tokens.ts';
import type { Environment } from './replace-variables.ts';
import { resolveConfig } from './resolve-config.ts';
import { configSchema, type ConfigFile } from './schema.ts';
import { readYamlFile } from './yaml-file.ts';

/**
 * Reads the configuration in `file`, with variables, and what else concerns registries, from `environment`. Also reads the files that hold tokens, and looks
 * whether certificates and keys can be read.
 * @throws ConfigError with every problem that the file has.
 */
export function readConfig(file: string, environment: Environment): Config {
  return read(file, environment).config;
}

/**
 * As {@link readConfig}, and looks whether this machine has what the configuration names: folders to read, folders to write to, an address.
 * @throws ConfigError with every problem that was found.
 */
export async function checkConfig(file: string, environment: Environment): Promise<Config> {
  const { config, problems } = read(file, environment);
  await checkMachine(config, problems);
  problems.throwIfAny();
  return config;
}

function read(file: string, environment: Environment): { readonly config: Config; readonly problems: ProblemList } {
  const absolute = resolve(file);
  const folder = dirname(absolute);
  const yaml = readYamlFile(file);
  const problems = new ProblemList(file, yaml.lines);
  const reader = new ConfigReader(yaml, folder, environment, problems);
  const written = (reader.read(configSchema) ?? {}) as Incomplete<ConfigFile>;
  const names = reader.names(['indexes']);
  checkRelations(written, names, folder, problems);
  const tokens = readTokens(written.server ?? {}, problems);
  problems.throwIfAny();
  return { config: resolveConfig(absolute, written as ConfigFile, names, tokens, environment), problems };
}
