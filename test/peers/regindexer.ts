/** The program itself, run as its users run it. */
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

export interface RegindexerOptions {
  /** YAML, or what becomes YAML. Relative paths in it are in {@link Peer.folder}. */
  readonly config: string | object;
  /** Before the command, such as `-v`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Runs `regindexer-daemon` instead of `regindexer serve`. */
  readonly daemon?: boolean;
  /** What is run instead of the sources, as it is published. */
  readonly program?: readonly string[];
  /** What runs it, such as `unshare` with its options. */
  readonly under?: readonly string[];
  /** Runs it on a terminal; what it prints is then text whose lines end in `\r\n`. */
  readonly terminal?: boolean;
  /** Receives what it prints as it does so. */
  readonly onOutput?: (text: string) => void;
}

/** Runs the command that follows on a terminal. */
const ON_TERMINAL = ['bash', '-c', 'exec script --quiet --return --flush --command "exec $(printf "%q " "$@")" /dev/null', 'bash'];

export interface Regindexer extends Peer {
  /** Where it serves since its last start, without a last `/`; another at each start if the configuration has port 0. */
  readonly url: string;
}

/** Starts the server and waits until it says its URL. It sees nothing of this process's environment. */
export async function startRegindexer({ config, args = [], env = {}, daemon = false, program = [daemon ? DAEMON : CLI], terminal = false, under = terminal ? ON_TERMINAL : [], onOutput }: RegindexerOptions): Promise<Regindexer> {
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
  return Object.defineProperty(peer, 'url', { get: () => servedUrl(peer.logSinceStart), enumerable: true }) as typeof peer & { url: string };
}

/** Runs regindexer to its end, with a home of its own. */
export async function runRegindexer(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CommandResult> {
  await using home = await mkdtempDisposable(join(tmpdir(), 'regindexer-run-'));
  // Awaited: its home goes only when it has ended.
  return await commandResult(process.execPath, [CLI, ...args], { cwd: home.path, env: bareEnvironment(home.path, env) });
}

/** Returns the URL that the log states: the `url` of the first JSON line that has one, or what a terminal shows. */
function servedUrl(log: string): string {
  for (const line of log.split(/\r?\n/).slice(0, -1)) {
    const [, shown] = /^Serving at (\S+)$/.exec(line) ?? [];
    if (shown !== undefined) return shown;
    const url = line.startsWith('{') ? (JSON.parse(line) as { url?: unknown }).url : undefined;
    if (typeof url === 'string') return url.replace(/\/$/, '');
  }
  throw new Error('no line of the log says the URL');
}
