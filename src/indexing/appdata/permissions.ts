/** Describes an app's permissions in plain words (flatpak-metadata(5), "Context", "Session Bus Policy"). */
import type { KeyFile } from './key-file.ts';
import { listOf } from './key-file.ts';

/** One permission of an app. */
export interface Permission {
  readonly kind: 'network' | 'files' | 'devices' | 'sockets' | 'bus' | 'features';
  /** A whole phrase, such as "Use the network". */
  readonly text: string;
  /** Set if the app could use it to read private data or to leave its sandbox. */
  readonly dangerous: boolean;
}

const MAX_PERMISSIONS = 100;
const MAX_TEXT = 200;

type Words = Readonly<Record<string, readonly [text: string, dangerous: boolean]>>;

const SHARED: Words = {
  network: ['Use the network', false],
  ipc: ['Share memory with other programs, as X11 needs it', false],
};

const SOCKETS: Words = {
  x11: ['Show windows by X11, where it can watch and control all other windows', true],
  'fallback-x11': ['Show windows by X11 where there is no Wayland', false],
  wayland: ['Show windows', false],
  'inherit-wayland-socket': ['Use the Wayland connection of the program that started it', false],
  pulseaudio: ['Play sound and listen to the microphone', false],
  'session-bus': ['Talk to every program of your session', true],
  'system-bus': ['Talk to every service of the system', true],
  'ssh-auth': ['Use your SSH keys', true],
  'gpg-agent': ['Use your GPG keys', true],
  pcsc: ['Use smart cards', false],
  cups: ['Print', false],
};

const DEVICES: Words = {
  all: ['Use all devices, such as cameras and USB sticks', true],
  dri: ['Use the graphics card', false],
  input: ['Read keyboards, mice and game controllers', true],
  usb: ['Use USB devices', true],
  kvm: ['Run virtual machines', false],
  shm: ['Share memory by files in /dev/shm', true],
};

const FEATURES: Words = {
  devel: ['Watch and change other processes in its sandbox, as debuggers do', true],
  multiarch: ['Run programs for other architectures', false],
  bluetooth: ['Use Bluetooth', false],
  canbus: ['Use CAN buses', false],
  'per-app-dev-shm': ['Share memory between its own instances', false],
};

/** Plain words for the names of places. */
const PLACES: Readonly<Record<string, string>> = {
  host: 'all files',
  'host-os': 'the files of the operating system',
  'host-etc': 'the settings of the operating system in /etc',
  home: 'all files in your home folder',
  '~': 'all files in your home folder',
  '/': 'all files',
  'xdg-desktop': 'your desktop folder',
  'xdg-documents': 'your documents',
  'xdg-download': 'your downloads',
  'xdg-music': 'your music',
  'xdg-pictures': 'your pictures',
  'xdg-public-share': 'your public folder',
  'xdg-videos': 'your videos',
  'xdg-templates': 'your templates',
  'xdg-config': 'the settings of all apps',
  'xdg-cache': 'the caches of all apps',
  'xdg-data': 'the data of all apps',
};
/** Places with which an app can leave its sandbox, or read private data. */
const DANGEROUS_PLACES: ReadonlySet<string> = new Set([
  'host',
  'host-os',
  'host-etc',
  'home',
  '~',
  '/',
  'xdg-config',
  'xdg-data',
  'xdg-cache',
]);

/** Bus names with which an app can leave its sandbox. */
const DANGEROUS_NAMES: ReadonlySet<string> = new Set([
  '*',
  'org.freedesktop.*',
  'org.freedesktop.Flatpak',
  'org.freedesktop.Flatpak.*',
  'org.freedesktop.systemd1',
  'org.freedesktop.secrets',
  'org.freedesktop.DBus',
  'org.gnome.Shell',
  'org.kde.kwalletd5',
  'org.kde.kwalletd6',
]);

/** Lists the permissions that an app's metadata asks for, the dangerous ones first. */
export function permissionsOf(metadata: KeyFile): readonly Permission[] {
  const context = metadata.get('Context');
  const list = (key: string): readonly string[] => listOf(context?.get(key)).filter((entry) => !entry.startsWith('!'));
  const worded = (kind: Permission['kind'], words: Words, entries: readonly string[], unknown: string): Permission[] =>
    entries.map((entry) => {
      const [text, dangerous] = (Object.hasOwn(words, entry) ? words[entry] : undefined) ?? [
        `${unknown} “${entry}”`,
        false,
      ];
      return { kind, text, dangerous };
    });
  const permissions = [
    // X11 needs `ipc`; the network does not.
    ...list('shared').flatMap((entry) => worded(entry === 'network' ? 'network' : 'sockets', SHARED, [entry], 'Share')),
    ...list('filesystems').map(files),
    ...list('persistent').map((folder): Permission => ({
      kind: 'files',
      text: `Keep the folder ${folder} of its own`,
      dangerous: false,
    })),
    ...worded('devices', DEVICES, list('devices'), 'Use the device'),
    ...worded('sockets', SOCKETS, list('sockets'), 'Use the socket'),
    ...worded('features', FEATURES, list('features'), 'Use the feature'),
    ...names(metadata.get('Session Bus Policy'), 'session'),
    ...names(metadata.get('System Bus Policy'), 'system'),
  ];
  const short = permissions
    .slice(0, MAX_PERMISSIONS)
    .map((permission) => ({ ...permission, text: permission.text.slice(0, MAX_TEXT) }));
  return short.toSorted((a, b) => Number(b.dangerous) - Number(a.dangerous));
}

/** Describes an entry of `filesystems`: `PLACE[/FOLDER][:ro|:rw|:create]`. */
function files(entry: string): Permission {
  const [, path = entry, mode = 'rw'] = /^(.*?)(?::(ro|rw|create))?$/s.exec(entry) ?? [];
  const place = path.replace(/(?<=.)\/+$/, '');
  const words = Object.hasOwn(PLACES, place) ? PLACES[place] : undefined;
  const verb = mode === 'ro' ? 'Read' : 'Read and change';
  const secret =
    /^(?:~|home)?\/?\.(?:ssh|gnupg|bashrc|profile|bash_profile|config|local)(?:\/|$)/.test(place) ||
    /^xdg-(?:config|data)\/(?:autostart|systemd|flatpak)/.test(place);
  return { kind: 'files', text: `${verb} ${words ?? place}`, dangerous: secret || DANGEROUS_PLACES.has(place) };
}

function names(policy: ReadonlyMap<string, string> | undefined, bus: 'session' | 'system'): Permission[] {
  return [...(policy ?? [])].flatMap(([name, access]): Permission[] => {
    if (access !== 'own' && access !== 'talk' && access !== 'see') return [];
    const verb = { own: 'Be', talk: 'Talk to', see: 'See' }[access];
    return [
      {
        kind: 'bus',
        text: `${verb} ${name} on the ${bus} bus`,
        dangerous: access !== 'see' && DANGEROUS_NAMES.has(name),
      },
    ];
  });
}
