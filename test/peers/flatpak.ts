/** The flatpak command for a new user: with a home, installations and a session bus of its own. */
import { spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { takesConnections } from './answering.ts';
import { bareEnvironment, startPeer, type Peer } from './peer.ts';
import { runCommand } from './run-command.ts';

export interface FlatpakClient extends Peer {
  /** Folder of the user's installation, with `appstream/REMOTE/ARCH/…`, `app/ID` and so on. */
  readonly installation: string;
  /**
   * Runs `flatpak ARGS` and returns what it prints on its standard output.
   * @throws Error with all its output unless it exits with 0.
   */
  flatpak(...args: readonly string[]): Promise<string>;
}

/** A server whose certificate is signed by an authority of its own. */
export interface TrustedServer {
  /** `HOST:PORT`. */
  readonly host: string;
  /** PEM file. */
  readonly authority: string;
}

/** Authorities that this system trusts; Flatpak before 1.17 uses no others. */
const SYSTEM_AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';
/** Mounts the file `$1` over `$2`, and runs the command that follows. */
const WITH_FILE = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
const UNSHARE = ['--mount', ...(process.getuid?.() === 0 ? [] : ['--map-root-user'])];

/** Options of a test that needs a trusted server: it is skipped if the system forbids mounting. */
export function canTrust(): { readonly skip: string | false } {
  const { status } = spawnSync('unshare', [...UNSHARE, 'mount', '--bind', '/etc/hostname', SYSTEM_AUTHORITIES]);
  return { skip: status !== 0 && 'this system does not let tests mount a file over another' };
}

/**
 * Starts a session without any remote or app. Commands with and without `--user` work; neither touches the machine's
 * installations.
 * @param trusted a server whose authority the client trusts beside those of the system
 */
export async function startFlatpakClient(trusted?: TrustedServer): Promise<FlatpakClient> {
  // One bus for the session: services on the bus of a `dbus-run-session` would outlive each command and hold its output
  // open.
  const peer = await startPeer('flatpak', async (folder) => {
    const place = (name: string): string => join(folder, name);
    await mkdir(place('run'), { mode: 0o700 });
    await mkdir(place('home'));
    const bus = place('run/bus');
    const env = {
      HOME: place('home'),
      XDG_RUNTIME_DIR: place('run'),
      XDG_DATA_HOME: place('data'),
      XDG_CACHE_HOME: place('cache'),
      XDG_CONFIG_HOME: place('config'),
      FLATPAK_SYSTEM_DIR: place('system'),
      FLATPAK_CONFIG_DIR: place('etc'),
      DBUS_SESSION_BUS_ADDRESS: `unix:path=${bus}`,
    };
    const run = trusted === undefined ? undefined : await trusting(trusted, folder, env.XDG_CONFIG_HOME);
    const [command, ...args] = [
      ...(run ?? []),
      'dbus-daemon',
      '--session',
      '--nofork',
      '--nopidfile',
      `--address=unix:path=${bus}`,
    ];
    return { command, args, env, run, answers: () => takesConnections({ path: bus }) };
  });
  const { env, run = [] } = peer.program;
  const [command, ...prefix] = [...run, 'flatpak'];
  return Object.assign(peer, {
    installation: join(env.XDG_DATA_HOME, 'flatpak'),
    // It leaves the registry's token in the folder that it runs in.
    flatpak: (...args: readonly string[]) =>
      runCommand(command, [...prefix, ...args], { cwd: peer.folder, env: bareEnvironment(env.HOME, env) }),
  });
}

/** Installs the server's authority for Flatpak; returns the beginning of commands that trust it. */
async function trusting(
  { host, authority }: TrustedServer,
  folder: string,
  config: string,
): Promise<readonly string[]> {
  const own = join(config, 'containers/certs.d', host);
  await mkdir(own, { recursive: true });
  const certificate = await readFile(authority, 'utf8');
  await writeFile(join(own, 'ca.crt'), certificate);
  const all = join(folder, 'authorities.crt');
  await writeFile(all, `${await readFile(SYSTEM_AUTHORITIES, 'utf8')}\n${certificate}`);
  return ['unshare', ...UNSHARE, 'sh', '-c', WITH_FILE, 'sh', all, SYSTEM_AUTHORITIES];
}
