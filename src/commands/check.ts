/**
 * `regindexer check`: validates the configuration, checks that it can work on this machine, and prints what it means.
 */
import { contentWarnings, layoutWarnings, publishedContents } from '../app/index-warnings.ts';
import { registryOptions } from '../app/indexing-options.ts';
import type { Config, RegistryConfig, StoreConfig } from '../config/config.ts';
import { describeConfig } from '../config/describe-config.ts';
import { CoveredRepositories } from '../registry/covered-repositories.ts';
import { createRegistrySource } from '../registry/create-registry-source.ts';
import type { RegistrySource } from '../registry/registry-source.ts';
import { readKeyPair } from '../server/http/key-pair.ts';
import { checkDatabase } from '../store/postgres/check-database.ts';
import { connectionOf } from '../store/postgres/connection.ts';
import { PostgresDatabase } from '../store/postgres/postgres-database.ts';
import { amount } from '../system/amount.ts';
import { messageOf } from '../system/message-of.ts';
import { type CommandOptions, type Configure, FAILURE, SUCCESS, WRONG_USAGE } from './command.ts';

/** Most names that are shown of a list. */
const SHOWN = 3;

interface Answer {
  readonly ok: boolean;
  /** One line, without secrets. */
  readonly text: string;
}

/** Prints what the configuration means, with warnings; with `online`, also asks each registry and the database. */
export async function check(configure: Configure, { online = false }: CommandOptions): Promise<number> {
  const { check: checked } = await configure();
  const config = await checked();
  const { tls } = config.server;
  try {
    if (tls !== undefined) await readKeyPair(tls);
  } catch (error) {
    process.stderr.write(`regindexer: ${messageOf(error)}\n`);
    return WRONG_USAGE;
  }
  process.stdout.write(`${describeConfig(config)}\n`);
  for (const warning of await layoutWarnings(config)) process.stdout.write(`Warning: ${warning}\n`);
  for (const [name, warnings] of contentWarnings(config, await publishedContents(config))) {
    for (const warning of warnings) process.stdout.write(`Warning: index ${name} as it was built last: ${warning}\n`);
  }
  if (!online) return SUCCESS;
  const answers = await Promise.all([
    ...(config.store === undefined ? [] : [askDatabase(config.store)]),
    ...[...config.registries.values()].map((registry) => askRegistry(registry, config)),
  ]);
  for (const { text } of answers) process.stdout.write(`Online: ${text}\n`);
  return answers.every(({ ok }) => ok) ? SUCCESS : FAILURE;
}

/** Connects, and finds out whether the store can be there. Makes no tables. */
async function askDatabase(store: StoreConfig): Promise<Answer> {
  const started = performance.now();
  try {
    const database = new PostgresDatabase(connectionOf(store));
    try {
      const came = await checkDatabase(database);
      return { ok: true, text: `${database.name} answered ${after(started)}: ${came}` };
    } finally {
      await database.close();
    }
  } catch (error) {
    return { ok: false, text: messageOf(error) };
  }
}

/** Asks with the first request of a rebuild. Does not retry. */
async function askRegistry(registry: RegistryConfig, { access }: Config): Promise<Answer> {
  const source = createRegistrySource({ ...registryOptions(registry, access), pauses: [] });
  const started = performance.now();
  try {
    const came = await ask(source, new CoveredRepositories(registry.repositories, registry.listing));
    return { ok: true, text: `${registry.id} answered ${after(started)}: ${came}` };
  } catch (error) {
    return { ok: false, text: `${registry.id} could not be read: ${messageOf(error)}` };
  } finally {
    await source.close();
  }
}

function after(started: number): string {
  return `after ${((performance.now() - started) / 1000).toFixed(2)} s`;
}

/**
 * Asks for the tags of the first repository if all are named, else for the first page of the list of repositories; if
 * that is elsewhere, also for the tags of its first repository.
 */
async function ask(source: RegistrySource, { named, names }: CoveredRepositories): Promise<string> {
  const tagsOf = async (repository: string): Promise<string> =>
    `${repository} has ${listed(await source.tags(repository), 'tag', 'tags')}`;
  const [repository] = names;
  if (named && repository !== undefined) return tagsOf(repository);
  const found: string[] = [];
  for await (const page of source.repositories()) {
    // The source yields configured names first, without a request.
    found.push(...page.filter((name) => !names.has(name)));
    if (source.requests > 0) break;
  }
  const { listedAt = 'it' } = source;
  const list = `${listedAt} lists ${listed(found, 'repository', 'repositories')}`;
  const [first] = found;
  return listedAt === 'it' || first === undefined ? list : `${list}, of which ${await tagsOf(first)}`;
}

function listed(names: readonly string[], one: string, several: string): string {
  if (names.length === 0) return `no ${several}`;
  const shown = names.slice(0, SHOWN).join(', ');
  return `${amount(names.length, one, several)} (${names.length > SHOWN ? `${shown}, …` : shown})`;
}
