/** Checks that this machine has the programs that a test needs. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Programs with their Debian packages, and the file if it is not in `PATH`. */
const PROGRAMS = {
  activemq: { package: 'activemq', file: '/usr/share/activemq/bin/activemq.jar' },
  appstreamcli: { package: 'appstream' },
  chromium: { package: 'chromium' },
  'dbus-daemon': { package: 'dbus-daemon' },
  'docker-registry': { package: 'docker-registry' },
  flatpak: { package: 'flatpak' },
  gcc: { package: 'gcc' },
  gpg: { package: 'gpg' },
  nginx: { package: 'nginx-light' },
  openssl: { package: 'openssl' },
  pgbouncer: { package: 'pgbouncer' },
  postgres: { package: 'postgresql', file: '/usr/lib/postgresql' },
  'rabbitmq-server': { package: 'rabbitmq-server' },
  'rsvg-convert': { package: 'librsvg2-bin' },
  skopeo: { package: 'skopeo' },
  'systemd-analyze': { package: 'systemd' },
  wrk: { package: 'wrk' },
} as const satisfies Record<string, { package: string; file?: string }>;

export type Program = keyof typeof PROGRAMS;

/** Returns whether a program is installed. */
export function isInstalled(program: Program): boolean {
  const place = PROGRAMS[program];
  if ('file' in place) return existsSync(place.file);
  return ['/usr/bin', '/usr/sbin'].some((folder) => existsSync(join(folder, program)));
}

/**
 * Options of a test that needs programs: it is skipped if one is missing, and says what to install.
 * @throws Error instead if `CI` is `true`.
 */
export function needs(...programs: readonly Program[]): { readonly skip: string | false } {
  const skip = missing(...programs);
  if (skip === undefined) return { skip: false };
  if (process.env['CI'] === 'true') throw new Error(skip);
  return { skip };
}

/** @throws Error that says what to install if a program is missing. */
export function requirePrograms(...programs: readonly Program[]): void {
  const fault = missing(...programs);
  if (fault !== undefined) throw new Error(fault);
}

/** Says which of `programs` are missing and how to install them; `undefined` if none is. */
function missing(...programs: readonly Program[]): string | undefined {
  const absent = programs.filter((program) => !isInstalled(program));
  return absent.length === 0
    ? undefined
    : `needs ${absent.join(', ')}: apt-get install ${absent.map((program) => PROGRAMS[program].package).join(' ')}`;
}
