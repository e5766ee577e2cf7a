/** The commands: serve, index, check, health. */
import { setImmediate } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { Command, CommanderError } from 'commander';
import type { Logger } from 'pino';
import type { Config } from './config/config.ts';
import { ConfigError } from './config/config-error.ts';
import { messageOf } from './message-of.ts';
import { version } from './version.ts';

const STANDARD_INPUT = 0;
const DEFAULT_CONFIG = '/etc/regindexer/config.yaml';

/** Exit statuses. */
const OK = 0;
const NOT_WELL = 1;
const WRONG_USAGE = 2;

const ENDS = ['SIGINT', 'SIGTERM'] as const;

interface Options {
  readonly config: string;
  readonly verbose: boolean;
}

/** The configuration as it was read, and how it is read again. */
interface Configured {
  readonly config: Config;
  readonly read: () => Config;
  /** Reads it again, and looks whether it can work on this machine. */
  readonly check: () => Promise<Config>;
  readonly logger: Logger;
}

interface CommandOptions {
  readonly online?: boolean;
  readonly acceptLosses?: boolean;
}

type Configure = () => Promise<Configured>;

/** Runs one command and returns the exit status. */
export async function run(args: readonly string[]): Promise<number> {
  let status: number = OK;
  const unwritten = watchOutput();
  const program = new Command('regindexer')
    .description('Reads container registries, and builds and serves the index of their images for Flatpak clients.')
    .option('-c, --config <file>', 'the configuration', DEFAULT_CONFIG)
    .option('-v, --verbose', 'log more', false)
    .version(version)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });
  const configure: Configure = async () => {
    const [{ checkConfig, readConfig }, { createLogger, LOG_LEVELS }] = await Promise.all([import('./config/read-config.ts'), import('./logger.ts')]);
    const { config: file, verbose } = program.opts<Options>();
    const read = (): Config => readConfig(file, process.env);
    // Empty where a container's configuration passes on what is not set.
    const level = process.env['LOG_LEVEL'] || undefined;
    if (level !== undefined && !LOG_LEVELS.includes(level)) program.error(`LOG_LEVEL: ${JSON.stringify(level)} is not a level, expected one of ${LOG_LEVELS.join(', ')}`, { exitCode: WRONG_USAGE });
    return { config: read(), read, check: () => checkConfig(file, process.env), logger: await createLogger({ verbose, level, terminal: process.stderr.isTTY }) };
  };
  const command = (name: string, description: string, action: (configure: Configure, options: CommandOptions) => Promise<number>): Command =>
    program.command(name).description(description).action(async (options: CommandOptions) => {
      status = await action(configure, options);
    });
  command('serve', 'build the indexes in the background and serve them', serve);
  command('index', 'build the indexes once: 0 if all is up to date, 1 if something could not be read', index)
    .option('--accept-losses', 'let go at once what a registry says is gone, however much that is');
  command('check', 'say whether the configuration is right and can work on this machine, and what it means', check)
    .option('--online', 'also ask each registry one question, and say what came: 1 if one could not be read');
  command('health', 'ask the running server whether it is alive: 0 if it is, 1 if not', health);

  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    return reportError(error);
  }
  const fault = await unwritten();
  if (fault === undefined) return status;
  process.stderr.write(`regindexer: what it says could not be written to the standard output: ${fault.message}\n`);
  return status === OK ? NOT_WELL : status;
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

async function check(configure: Configure, { online = false }: CommandOptions): Promise<number> {
  const { check: checked } = await configure();
  const [{ describeConfig }, { readKeyPair }] = await Promise.all([import('./config/describe-config.ts'), import('./server/key-pair.ts')]);
  const config = await checked();
  const { tls } = config.server;
  try {
    if (tls !== undefined) await readKeyPair(tls);
  } catch (error) {
    reportError(error);
    return WRONG_USAGE;
  }
  process.stdout.write(`${describeConfig(config)}\n`);
  const { contentWarnings, layoutWarnings, publishedContents } = await import('./index-warnings.ts');
  for (const warning of await layoutWarnings(config)) process.stdout.write(`Warning: ${warning}\n`);
  for (const [name, warnings] of contentWarnings(config, await publishedContents(config))) {
    for (const warning of warnings) process.stdout.write(`Warning: index ${name} as it was built last: ${warning}\n`);
  }
  if (!online) return OK;
  const { checkRegistries } = await import('./check-registries.ts');
  const answers = await checkRegistries(config);
  for (const { text } of answers) process.stdout.write(`Online: ${text}\n`);
  return answers.every(({ ok }) => ok) ? OK : NOT_WELL;
}

async function health(configure: Configure): Promise<number> {
  const { config } = await configure();
  const { checkHealth } = await import('./check-health.ts');
  try {
    await checkHealth(config);
    return OK;
  } catch (error) {
    process.stderr.write(`regindexer: the health check failed: ${messageOf(error)}\n`);
    return NOT_WELL;
  }
}

async function index(configure: Configure, { acceptLosses = false }: CommandOptions): Promise<number> {
  const { config, logger } = await configure();
  const { indexOnce } = await import('./index-once.ts');
  try {
    return (await indexOnce(config, logger, { acceptLosses })) ? OK : NOT_WELL;
  } catch (error) {
    if (error instanceof Error && error.name === 'StateLockedError') error.message += '; a server that runs rebuilds when it is asked to by POST /reindex';
    throw error;
  }
}

/** Ends when a signal asks for it; SIGHUP has it read its configuration again. */
async function serve(configure: Configure): Promise<number> {
  const { promise: hungUp, resolve: onFirst } = Promise.withResolvers<void>();
  let onHangUp: () => void = onFirst;
  process.on('SIGHUP', () => onHangUp());
  // Until there is something to finish: process 1 of a container hears no signal that it does not handle.
  for (const signal of ENDS) process.on(signal, endAtOnce);
  const { config, read, logger } = await configure();
  const [{ startApp }, { default: closeWithGrace }, { installLines }] = await Promise.all([import('./app.ts'), import('close-with-grace'), import('./install-lines.ts')]);
  const app = await startApp(config, logger);
  const stopped = new Promise<number>((resolve) => {
    closeWithGrace({ delay: 15_000, logger, skip: ['SIGHUP'] }, async ({ err, signal }) => {
      if (err) logger.fatal({ err }, 'stopping: something went wrong that nothing was ready for');
      else logger.info({ signal }, 'stopping');
      await app.close();
      resolve(err ? NOT_WELL : OK);
    });
    for (const signal of ENDS) process.off(signal, endAtOnce);
  });
  const fromTerminal = isatty(STANDARD_INPUT);
  onHangUp = () => {
    // The terminal that it was started from is gone, and whoever started it with that.
    if (fromTerminal && !isatty(STANDARD_INPUT)) process.kill(process.pid, 'SIGTERM');
    else void app.reload(read);
  };
  // One may have come before there was anything to reload.
  void hungUp.then(onHangUp);
  logger.info({ url: app.url }, `serving at ${app.url}`);
  process.stdout.write(`Serving at ${app.url}\n`);
  // Which app there is to name is known when the index is.
  void app.started
    .then(async () => process.stdout.write(await installLines(app, config)))
    .catch((error: unknown) => logger.warn({ err: error }, 'it cannot be told how to install from the index'));
  return stopped;
}

function endAtOnce(): void {
  process.exit(OK);
}

/** Errors that a user can do something about are told in their own words, others with all that is known. */
function reportError(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? OK : WRONG_USAGE;
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`);
    return WRONG_USAGE;
  }
  const known = error instanceof Error && (error.name === 'StateLockedError' || error.name === 'StoreError' || 'code' in error);
  process.stderr.write(`regindexer: ${known ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return NOT_WELL;
}
