/** The commands: serve, index, check, health. */
import { setImmediate } from 'node:timers/promises';
import { Command, CommanderError } from 'commander';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/config-error.ts';
import { version } from '../system/version.ts';
import { type CommandOptions, type Configure, FAILURE, SUCCESS, WRONG_USAGE } from './command.ts';

const DEFAULT_CONFIG = '/etc/regindexer/config.yaml';

interface Options {
  readonly config: string;
  readonly verbose: boolean;
}

/** Runs one command and returns the exit status. */
export async function run(args: readonly string[]): Promise<number> {
  let status: number = SUCCESS;
  const unwritten = watchOutput();
  const program = new Command('regindexer')
    .description('Reads container registries, and builds and serves the index of their images for Flatpak clients.')
    .option('-c, --config <file>', 'the configuration', DEFAULT_CONFIG)
    .option('-v, --verbose', 'log more', false)
    .version(version)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });
  const configure: Configure = async () => {
    const [{ checkConfig, readConfig }, { createLogger, LOG_LEVELS }] = await Promise.all([import('../config/read-config.ts'), import('../system/logger.ts')]);
    const { config: file, verbose } = program.opts<Options>();
    const read = (): Config => readConfig(file, process.env);
    // Empty where a container's configuration passes on what is not set.
    const level = process.env['LOG_LEVEL'] || undefined;
    if (level !== undefined && !LOG_LEVELS.includes(level)) program.error(`LOG_LEVEL: ${JSON.stringify(level)} is not a level, expected one of ${LOG_LEVELS.join(', ')}`, { exitCode: WRONG_USAGE });
    return { config: read(), read, check: () => checkConfig(file, process.env), logger: await createLogger({ verbose, level, terminal: process.stderr.isTTY }) };
  };
  // Each command loads what it needs and no more: a health check may run every few seconds.
  const command = (name: string, description: string, load: () => Promise<(configure: Configure, options: CommandOptions) => Promise<number>>): Command =>
    program.command(name).description(description).action(async (options: CommandOptions) => {
      const action = await load();
      status = await action(configure, options);
    });
  command('serve', 'build the indexes in the background and serve them', async () => (await import('./serve.ts')).serve);
  command('index', 'build the indexes once: 0 if all is up to date, 1 if something could not be read', async () => (await import('./index.ts')).buildOnce)
    .option('--accept-losses', 'let go at once what a registry says is gone, however much that is');
  command('check', 'say whether the configuration is right and can work on this machine, and what it means', async () => (await import('./check.ts')).check)
    .option('--online', 'also ask each registry one question, and say what came: 1 if one could not be read');
  command('health', 'ask the running server whether it is alive: 0 if it is, 1 if not', async () => (await import('./health.ts')).health);

  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    return reportError(error);
  }
  const fault = await unwritten();
  if (fault === undefined) return status;
  process.stderr.write(`regindexer: what it says could not be written to the standard output: ${fault.message}\n`);
  return status === SUCCESS ? FAILURE : status;
}

/** Goes on when nobody reads its output any more. What is returned tells what else kept some of that from being written. */
function watchOutput(): () => Promise<Error | undefined> {
  let fault: Error | undefined;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') fault ??= error;
  });
  process.stderr.on('error', () => undefined);
  return async () => {
    // It is told of a moment after it was written.
    await setImmediate();
    return fault;
  };
}

/** Errors that a user can do something about are told in their own words, others with all that is known. */
function reportError(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? SUCCESS : WRONG_USAGE;
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`);
    return WRONG_USAGE;
  }
  const known = error instanceof Error && (error.name === 'StateLockedError' || error.name === 'StoreError' || 'code' in error);
  process.stderr.write(`regindexer: ${known ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return FAILURE;
}
