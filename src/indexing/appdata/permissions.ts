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

/** How far users have to trust an app, in words that software centres use. */
export type Safety = 'safe' | 'probably-safe' | 'potentially-unsafe';

/** `none`: an app can do no harm with it. `high`: it is dangerous, see {@link Permission}. */
type Risk = 'none' | 'some' | 'high';

type RatedPermission = Omit<Permission, 'dangerous'> & { readonly risk: Risk };

const MAX_PERMISSIONS = 100;
const MAX_TEXT = 200;

type Words = Readonly<Record<string, readonly [text: string, risk: Risk]>>;

const SHARED: Words = {
  network: ['Use the network', 'some'],
  ipc: ['Share memory with other programs, as X11 needs it', 'none'],
};

const SOCKETS: Words = {
  x11: ['Show windows by X11, where it can watch and control all other windows', 'high'],
  'fallback-x11': ['Show windows by X11 where there is no Wayland', 'none'],
  wayland: ['Show windows', 'none'],
  'inherit-wayland-socket': ['Use the Wayland connection of the program that started it', 'none'],
  pulseaudio: ['Play sound and listen to the microphone', 'some'],
  'session-bus': ['Talk to every program of your session', 'high'],
  'system-bus': ['Talk to every service of the system', 'high'],
  'ssh-auth': ['Use your SSH keys', 'high'],
  'gpg-agent': ['Use your GPG keys', 'high'],
  pcsc: ['Use smart cards', 'some'],
  cups: ['Print', 'none'],
};

const DEVICES: Words = {
  all: ['Use all devices, such as cameras and USB sticks', 'high'],
  dri: ['Use the graphics card', 'none'],
  input: ['Read keyboards, mice and game controllers', 'high'],
  usb: ['Use USB devices', 'high'],
  kvm: ['Run virtual machines', 'some'],
  shm: ['Share memory by files in /dev/shm', 'high'],
};

const FEATURES: Words = {
  devel: ['Watch and change other processes in its sandbox, as debuggers do', 'high'],
  multiarch: ['Run programs for other architectures', 'none'],
  bluetooth: ['Use Bluetooth', 'some'],
  canbus: ['Use CAN buses', 'some'],
  'per-app-dev-shm': ['Share memory between its own instances', 'none'],
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
  return ratedPermissions(metadata)
    .map(({ kind, text, risk }) => ({ kind, text: text.slice(0, MAX_TEXT), dangerous: risk === 'high' }))
    .toSorted((a, b) => Number(b.dangerous) - Number(a.dangerous))
    .slice(0, MAX_PERMISSIONS);
}

/** Says how far users have to trust an app with these metadata. */
export function safetyOf(metadata: KeyFile): Safety {
  const risks = new Set(ratedPermissions(metadata).map(({ risk }) => risk));
  if (risks.has('high')) return 'potentially-unsafe';
  return risks.has('some') ? 'probably-safe' : 'safe';
}

function ratedPermissions(metadata: KeyFile): readonly RatedPermission[] {
  const context = metadata.get('Context');
  const list = (key: string): readonly string[] => listOf(context?.get(key)).filter((entry) => !entry.startsWith('!'));
  return [
    // X11 needs `ipc`; the network does not.
    ...list('shared').flatMap((entry) => worded(entry === 'network' ? 'network' : 'sockets', SHARED, [entry], 'Share')),
    ...list('filesystems').map(files),
    ...list('persistent').map((folder): RatedPermission => ({
      kind: 'files',
      text: `Keep the folder ${folder} of its own`,
      risk: 'none',
    })),
    ...worded('devices', DEVICES, list('devices'), 'Use the device'),
    ...worded('sockets', SOCKETS, socketsOf(list('sockets')), 'Use the socket'),
    ...worded('features', FEATURES, list('features'), 'Use the feature'),
    ...names(metadata.get('Session Bus Policy'), 'session'),
    ...names(metadata.get('System Bus Policy'), 'system'),
  ];
}

function worded(
  kind: Permission['kind'],
  words: Words,
  entries: readonly string[],
  unknown: string,
): readonly RatedPermission[] {
  return entries.map((entry) => {
    const [text, risk] = (Object.hasOwn(words, entry) ? words[entry] : undefined) ?? [`${unknown} “${entry}”`, 'some'];
    return { kind, text, risk };
  });
}

/** Leaves out `x11` beside `fallback-x11`, which Flatpak writes only for its oldest versions. */
function socketsOf(sockets: readonly string[]): readonly string[] {
  return sockets.includes('fallback-x11') ? sockets.filter((socket) => socket !== 'x11') : sockets;
}

/** Describes an entry of `filesystems`: `PLACE[/FOLDER][:ro|:rw|:create]`. */
function files(entry: string): RatedPermission {
  const [, path = entry, mode = 'rw'] = /^(.*?)(?::(ro|rw|create))?$/s.exec(entry) ?? [];
  const place = path.replace(/(?<=.)\/+$/, '');
  const words = Object.hasOwn(PLACES, place) ? PLACES[place] : undefined;
  const verb = mode === 'ro' ? 'Read' : 'Read and change';
  const secret =
    /^(?:~|home)?\/?\.(?:ssh|gnupg|bashrc|profile|bash_profile|config|local)(?:\/|$)/.test(place) ||
    /^xdg-(?:config|data)\/(?:autostart|systemd|flatpak)/.test(place);
  const isDangerous = secret || DANGEROUS_PLACES.has(place);
  return { kind: 'files', text: `${verb} ${words ?? place}`, risk: isDangerous ? 'high' : 'some' };
}

function names(policy: ReadonlyMap<string, string> | undefined, bus: 'session' | 'system'): RatedPermission[] {
  return [...(policy ?? [])].flatMap(([name, access]): RatedPermission[] => {
    if (access !== 'own' && access !== 'talk' && access !== 'see') return [];
    const verb = { own: 'Be', talk: 'Talk to', see: 'See' }[access];
    const risk = access === 'see' ? 'none' : DANGEROUS_NAMES.has(name) ? 'high' : 'some';
    return [{ kind: 'bus', text: `${verb} ${name} on the ${bus} bus`, risk }];
  });
}
