/** The command line: options, commands and their help texts. */
import { setImmediate } from 'node:timers/promises';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/problems.ts';
import { DEFAULT_TAG, isTag } from '../registry/reference.ts';
import { version } from '../system/version.ts';
import { type CommandOptions, type Configure, FAILURE, type Run, SUCCESS, WRONG_USAGE } from './command.ts';

const DEFAULT_CONFIG = '/etc/regindexer/config.yaml';

/** Names of errors whose message says all. */
const EXPECTED: ReadonlySet<string> = new Set(['StateLockedError', 'StoreError', 'ExportError']);

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
    .option('-c, --config <file>', 'configuration file', DEFAULT_CONFIG)
    .option('-v, --verbose', 'log debug messages, with all fields', false)
    .version(version)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });
  const configure: Configure = async () => {
    const [{ checkConfig, readConfig }, { createLogger, LOG_LEVELS }] = await Promise.all([
      import('../config/read-config.ts'),
      import('../system/logger.ts'),
    ]);
    const { config: file, verbose } = program.opts<Options>();
    const read = (): Config => readConfig(file, process.env);
    // A container's configuration may pass on an unset variable as an empty one.
    const level = process.env['LOG_LEVEL'] || undefined;
    if (level !== undefined && !LOG_LEVELS.includes(level))
      program.error(`LOG_LEVEL: ${JSON.stringify(level)} is not a level, expected one of ${LOG_LEVELS.join(', ')}`, {
        exitCode: WRONG_USAGE,
      });
    return {
      config: read(),
      read,
      check: () => checkConfig(file, process.env),
      logger: await createLogger({ verbose, level, terminal: process.stderr.isTTY }),
    };
  };
  // Each command loads only what it needs: a health check may run every few seconds.
  const command = (usage: string, description: string, load: () => Promise<Run>): Command => {
    const added = program.command(usage).description(description);
    return added.action(async () => {
      const runCommand = await load();
      status = await runCommand(configure, added.opts<CommandOptions>(), ...added.args);
    });
  };
  command(
    'serve',
    'serve the indexes, and rebuild them in the background',
    async () => (await import('./serve.ts')).serve,
  );
  command(
    'index',
    'rebuild the indexes once: exits with 0 if all are up to date, 1 if something could not be read',
    async () => (await import('./index-command.ts')).runIndex,
  ).option('--accept-losses', 'remove at once what a registry says is gone, however much that is');
  command(
    'export <folder>',
    'rebuild the indexes once, and write them with icons, page and files that install, for hosts of plain files',
    async () => (await import('./export.ts')).runExport,
  )
    .option('--tag <tag>', 'export the images with this tag', parseTag, DEFAULT_TAG)
    .option('--images', 'also copy the images, so that clients need no registry')
    .option('--accept-losses', 'remove at once what a registry says is gone, however much that is');
  command(
    'check',
    'check that the configuration is valid and can work on this machine, and print what it means',
    async () => (await import('./check.ts')).check,
  ).option('--online', 'also ask each registry and the database of the store: exits with 1 if one could not be read');
  command(
    'explain <reference>',
    'say why each index shows the images of REPOSITORY[:TAG], or does not; asks the running service if there is one',
    async () => (await import('./explain.ts')).runExplain,
  );
  command(
    'health',
    'ask the running service whether it is alive: exits with 0 if it is, 1 if not',
    async () => (await import('./health.ts')).health,
  );
  command(
    'deltas <old> <new> <out>',
    'make the delta by which Flatpak updates from one layer to another: of two files, or of two images as oci:FOLDER:TAG',
    async () => (await import('./deltas.ts')).runDeltas,
  ).option('--apply', 'apply a delta, which is named instead of the new layer, and write that layer');

  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    return reportError(error);
  }
  const fault = await unwritten();
  if (fault === undefined) return status;
  process.stderr.write(`regindexer: cannot write to the standard output: ${fault.message}\n`);
  return status === SUCCESS ? FAILURE : status;
}

/** Ignores that the reader of the output is gone (EPIPE). Returns a function that resolves to any other write error. */
function watchOutput(): () => Promise<Error | undefined> {
  let fault: Error | undefined;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') fault ??= error;
  });
  process.stderr.on('error', () => undefined);
  return async () => {
    // Write errors are reported asynchronously.
    await setImmediate();
    return fault;
  };
}

/** @throws InvalidArgumentError */
function parseTag(text: string): string {
  if (!isTag(text)) throw new InvalidArgumentError('Expected a tag such as latest.');
  return text;
}

/** Prints the message of an expected error, or the stack of any other, and returns the exit status. */
function reportError(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? SUCCESS : WRONG_USAGE;
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`);
    return WRONG_USAGE;
  }
  const known =
    error instanceof Error &&
    (EXPECTED.has(error.name) || 'code' in error || (error.cause instanceof Error && 'code' in error.cause));
  process.stderr.write(
    `regindexer: ${known ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  return FAILURE;
}
