/** The flatpak command as a user of his own: a fresh home, fresh installations, and a session bus for what flatpak starts on it. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { takesConnections } from './answering.ts';
import { bareEnvironment, startPeer, type Peer } from './peer.ts';
import { runCommand } from './run-command.ts';

export interface FlatpakClient extends Peer {
  /** The user's installation, where `flatpak --user` keeps `appstream/REMOTE/ARCH/…`, `app/ID` and the rest. */
  readonly installation: string;
  /**
   * Runs `flatpak ARGS` and returns what it prints on its standard output.
   * @throws Error with all its output unless it exits with 0.
   */
  flatpak(...args: readonly string[]): Promise<string>;
}

/** Starts a session without any remote or app. Commands with and without `--user` work; neither touches the machine's installations. */
export async function startFlatpakClient(): Promise<FlatpakClient> {
  // One bus for the whole session, not `dbus-run-session` for each command: what flatpak starts on that would outlive it, and hold its output open.
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
    const args = ['--session', '--nofork', '--nopidfile', `--address=unix:path=${bus}`];
    return { command: 'dbus-daemon', args, env, answers: () => takesConnections({ path: bus }) };
  });
  const { env } = peer.program;
  return Object.assign(peer, {
    installation: join(env.XDG_DATA_HOME, 'flatpak'),
    flatpak: (...args: readonly string[]) => runCommand('flatpak', args, { env: bareEnvironment(env.HOME, env) }),
  });
}
