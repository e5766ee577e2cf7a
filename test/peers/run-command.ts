/** Runs a program to its end. */
import { execFile } from 'node:child_process';

export interface CommandOptions {
  readonly cwd?: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** In milliseconds; far more than any command of the tests needs. */
const LIMIT = 120_000;
const MAX_OUTPUT = 64 * 1024 * 1024;

/**
 * Runs a program and returns its output, whatever its exit status.
 * @throws Error if it cannot be started, is ended by a signal or takes longer than two minutes.
 */
export async function commandResult(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
  execFile(command, args, { ...options, timeout: LIMIT, maxBuffer: MAX_OUTPUT }, (error, stdout, stderr) => {
    if (!error) resolve({ code: 0, stdout, stderr });
    else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
    else
      reject(
        new Error(
          `${command} ${args.join(' ')} did not end by itself (${error.signal ?? error.code}):\n${stdout}${stderr}`,
          { cause: error },
        ),
      );
  });
  return promise;
}

/**
 * Runs a program as {@link commandResult}, but on a terminal: all output is in `stdout`. No word may contain a single
 * quote.
 */
export function commandResultOnTerminal(
  command: string,
  args: readonly string[],
  { env, ...options }: CommandOptions,
): Promise<CommandResult> {
  const line = [command, ...args].map((word) => `'${word}'`).join(' ');
  return commandResult('script', ['--quiet', '--return', '--command', line, '/dev/null'], {
    ...options,
    env: { TERM: 'xterm', ...env },
  });
}

/**
 * Runs a program and returns its standard output.
 * @throws Error with all its output unless it exits with 0.
 */
export async function runCommand(command: string, args: readonly string[], options: CommandOptions): Promise<string> {
  const { code, stdout, stderr } = await commandResult(command, args, options);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} exited with ${code}:\n${stdout}${stderr}`);
  return stdout;
}
