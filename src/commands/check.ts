/**
 * `regindexer check`: validates the configuration, checks that it can work on this machine, and prints what it means.
 */
import { contentWarnings, layoutWarnings, publishedContents } from '../app/index-warnings.ts';
import { registryOptions } from '../app/indexing-options.ts';
import type { Config, RegistryConfig } from '../config/config.ts';
import { describeConfig } from '../config/describe-config.ts';
import { CoveredRepositories } from '../registry/covered-repositories.ts';
import { createRegistrySource } from '../registry/create-registry-source.ts';
import type { RegistrySource } from '../registry/registry-source.ts';
import { readKeyPair } from '../server/http/key-pair.ts';
import { amount } from '../system/amount.ts';
import { messageOf } from '../system/message-of.ts';
import { type CommandOptions, type Configure, FAILURE, SUCCESS, WRONG_USAGE } from './command.ts';

/** Most names that are shown of a list. */
const SHOWN = 3;

interface RegistryAnswer {
  readonly ok: boolean;
  /** One line, without secrets. */
  readonly text: string;
}

/** Prints what the configuration means, with warnings; with `online`, also asks each registry. */
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
  const answers = await checkRegistries(config);
  for (const { text } of answers) process.stdout.write(`Online: ${text}\n`);
  return answers.every(({ ok }) => ok) ? SUCCESS : FAILURE;
}

/** Asks all registries in parallel, each with the first request of a rebuild. Does not retry. */
function checkRegistries(config: Config): Promise<readonly RegistryAnswer[]> {
  return Promise.all([...config.registries.values()].map((registry) => checkRegistry(registry, config)));
}

async function checkRegistry(registry: RegistryConfig, { access }: Config): Promise<RegistryAnswer> {
  const source = createRegistrySource({ ...registryOptions(registry, access), pauses: [] });
  const started = performance.now();
  try {
    const came = await ask(source, new CoveredRepositories(registry.repositories));
    return {
      ok: true,
      text: `${registry.id} answered after ${((performance.now() - started) / 1000).toFixed(2)} s: ${came}`,
    };
  } catch (error) {
    return { ok: false, text: `${registry.id} could not be read: ${messageOf(error)}` };
  } finally {
    await source.close();
  }
}

/** Asks for the tags of the first repository if all are named, else for the first page of the list of repositories. */
async function ask(source: RegistrySource, { named, names }: CoveredRepositories): Promise<string> {
  const [repository] = names;
  if (named && repository !== undefined)
    return `${repository} has ${listed(await source.tags(repository), 'tag', 'tags')}`;
  const found: string[] = [];
  for await (const page of source.repositories()) {
    // The source yields configured names first, without a request.
    found.push(...page.filter((name) => !names.has(name)));
    if (source.requests > 0) break;
  }
  return `it lists ${listed(found, 'repository', 'repositories')}`;
}

function listed(names: readonly string[], one: string, several: string): string {
  if (names.length === 0) return `no ${several}`;
  const shown = names.slice(0, SHOWN).join(', ');
  return `${amount(names.length, one, several)} (${names.length > SHOWN ? `${shown}, …` : shown})`;
}
