/** The programs of regindexer, run as users run them. */
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { bareEnvironment, startPeer, type Peer } from './peer.ts';
import { commandResult, type CommandResult } from './run-command.ts';

/** The program `regindexer`. */
export const CLI: string = resolve(import.meta.dirname, '../../src/cli.ts');
/** The program `regindexer-daemon`. */
const DAEMON = resolve(import.meta.dirname, '../../src/daemon.ts');

/** How regindexer is run. */
export interface RegindexerOptions {
  /** YAML, or an object that is written as YAML. Relative paths are in {@link Peer.folder}. */
  readonly config: string | object;
  /** Options before the command, such as `-v`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Runs `regindexer-daemon` instead of `regindexer serve`. */
  readonly daemon?: boolean;
  /** Program that is run instead of the sources, such as the built one. */
  readonly program?: readonly string[];
  /** Command that runs it, such as `unshare` with its options. */
  readonly under?: readonly string[];
  /** Runs it on a terminal; the lines of its log then end in `\r\n`. */
  readonly terminal?: boolean;
  /** Receives its output as it comes. */
  readonly onOutput?: (text: string) => void;
}

/** Command that runs the words after it on a terminal. */
const ON_TERMINAL = [
  'bash',
  '-c',
  'exec script --quiet --return --flush --command "exec $(printf "%q " "$@")" /dev/null',
  'bash',
];

/** A running `regindexer serve`. */
export interface Regindexer extends Peer {
  /** Its URL since its last start, without a last `/`; another one after each start with port 0. */
  readonly url: string;
}

/** Starts the service and waits until it logs its URL. It does not inherit the environment. */
export async function startRegindexer({
  config,
  args = [],
  env = {},
  daemon = false,
  program = [daemon ? DAEMON : CLI],
  terminal = false,
  under = terminal ? ON_TERMINAL : [],
  onOutput,
}: RegindexerOptions): Promise<Regindexer> {
  const peer = await startPeer('regindexer', async (folder) => {
    const file = join(folder, 'config.yaml');
    await writeFile(file, typeof config === 'string' ? config : stringify(config));
    const own = [...program, '-c', file, ...args, ...(daemon ? [] : ['serve'])];
    const [command = process.execPath, ...rest] = [...under, process.execPath, ...own];
    return {
      command,
      args: rest,
      env,
      ...(onOutput && { onOutput }),
      answers: async (log: string) => {
        servedUrl(log);
      },
    };
  });
  return Object.defineProperty(peer, 'url', {
    get: () => servedUrl(peer.logSinceStart),
    enumerable: true,
  }) as typeof peer & { url: string };
}

/** Runs a command of regindexer to its end, with a home of its own. */
export async function runRegindexer(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  await using home = await mkdtempDisposable(join(tmpdir(), 'regindexer-run-'));
  // Awaited here, so that its home is removed after it has ended.
  return await commandResult(process.execPath, [CLI, ...args], {
    cwd: home.path,
    env: bareEnvironment(home.path, env),
  });
}

/** Finds the URL in the log: the `url` of the first JSON line that has one, or the first line on a terminal. */
function servedUrl(log: string): string {
  for (const line of log.split(/\r?\n/).slice(0, -1)) {
    const [, shown] = /^Serving at (\S+)$/.exec(line) ?? [];
    if (shown !== undefined) return shown;
    const url = line.startsWith('{') ? (JSON.parse(line) as { url?: unknown }).url : undefined;
    if (typeof url === 'string') return url.replace(/\/$/, '');
  }
  throw new Error('the log has no line with the URL');
}
