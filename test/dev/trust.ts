/**
 * `npm run dev:trust-local` and `dev:untrust-local`: add or remove the authority of `compose.yaml` on this machine and
 * for its Flatpak.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { runAsCommand } from './run-as-command.ts';

const AUTHORITY = resolve(import.meta.dirname, '../../state/dev-tls/authority.crt');
const HOST = 'localhost:7443';
/** Folders of authorities in Debian and Fedora and their derivatives, and the commands that apply changes in them. */
const SYSTEMS: readonly System[] = [
  // Without --fresh, links to removed authorities would stay.
  {
    folder: '/usr/local/share/ca-certificates',
    added: ['update-ca-certificates'],
    removed: ['update-ca-certificates', '--fresh'],
  },
  { folder: '/etc/pki/ca-trust/source/anchors', added: ['update-ca-trust'], removed: ['update-ca-trust'] },
];

interface System {
  readonly folder: string;
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** The files that hold the authority. */
interface Places extends Pick<System, 'added' | 'removed'> {
  /** File for the whole system, Flatpak before 1.17 included. */
  readonly system: string;
  /** File for this user's Flatpak since 1.17, skopeo and podman. */
  readonly user: string;
}

function places(): Places {
  const found = SYSTEMS.find(({ folder }) => existsSync(folder));
  if (!found)
    throw new Error(
      `this system has none of the folders ${SYSTEMS.map(({ folder }) => folder).join(', ')}: make it trust ${AUTHORITY} by hand`,
    );
  const config = process.env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config');
  return {
    ...found,
    system: join(found.folder, 'regindexer-development.crt'),
    user: join(config, 'containers/certs.d', HOST, 'ca.crt'),
  };
}

function trust(authority: string): void {
  if (!existsSync(authority)) throw new Error(`${authority} does not exist: "npm run dev:up" makes it`);
  const { system, added, user } = places();
  const wanted = readFileSync(authority, 'utf8');
  const found = contentOf(user);
  if (found !== undefined && found !== wanted && found !== contentOf(system))
    throw new Error(`${user} has another authority already: move it away first`);
  asRoot('install', '-m', '644', authority, system);
  asRoot(...added);
  console.log(`write ${user}`);
  mkdirSync(dirname(user), { recursive: true });
  writeFileSync(user, wanted);
  console.log(`https://${HOST} is trusted now. "npm run dev:untrust-local" undoes this.`);
}

function untrust(): void {
  const { system, removed, user } = places();
  const trusted = contentOf(system);
  if (trusted === undefined) throw new Error(`nothing to undo: there is no ${system}`);
  if (contentOf(user) === trusted) {
    console.log(`remove ${user}`);
    rmSync(user);
    removeEmpty(dirname(user));
  }
  asRoot('rm', system);
  asRoot(...removed);
  console.log(`https://${HOST} is no longer trusted.`);
}

/** Prints a command and runs it. */
function asRoot(...command: readonly string[]): void {
  const [program = '', ...args] = process.getuid?.() === 0 ? command : ['sudo', ...command];
  console.log([program, ...args].join(' '));
  const { status, error } = spawnSync(program, args, { stdio: 'inherit' });
  if (status !== 0) throw new Error(`${program} failed`, { cause: error });
}

function contentOf(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

/** Removes empty folders from `folder` upwards, up to that of the user's configuration. */
function removeEmpty(folder: string): void {
  try {
    for (let left = 3, path = folder; left > 0; left--, path = dirname(path)) rmdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
  }
}

const { values, positionals } = parseArgs({
  options: { undo: { type: 'boolean', default: false } },
  allowPositionals: true,
});
await runAsCommand(async () => {
  if (values.undo) untrust();
  else trust(positionals[0] ?? AUTHORITY);
});
