/** Images of made-up apps: the same for the same seed, of the size that real Flatpaks have. */
import { createHash } from 'node:crypto';
import type { ImageConfig } from '../../src/registry/manifest.ts';

/** A small, fast generator of random numbers (mulberry32): the same numbers for the same seed. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const WORDS =
  'open free desktop application photo music editor viewer player game chat mail calendar notes draw write read share sync fast simple modern beautiful powerful'.split(
    ' ',
  );
const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

export interface ImageSize {
  /** Bytes of both icons, before base64. */
  readonly icons: number;
  /** Characters of the appdata. */
  readonly appdata: number;
}

/** What a build of a real app carries, by the size of things in public Flatpak repositories. */
export const USUAL_SIZE: ImageSize = { icons: 13_000, appdata: 4_000 };

/**
 * A registry full of apps: each repository holds one, each of its tags an image index of one version for every
 * architecture.
 */
export interface RandomApps {
  readonly repositories: number;
  readonly tags: readonly string[];
  readonly architectures: readonly string[];
  /** {@link USUAL_SIZE} if absent. */
  readonly size?: ImageSize;
}

/** The repository of app `number`. */
export function randomRepository(number: number): string {
  return `apps/app-${String(number).padStart(5, '0')}`;
}

/** An icon of so many bytes: a PNG's signature and what cannot be compressed, as in a PNG. */
export function randomIcon(name: string, bytes: number): Buffer {
  const chunks = [PNG];
  for (let block = 0, length = PNG.length; length < bytes; block++, length += 64)
    chunks.push(createHash('sha512').update(`${name} ${block}`).digest());
  return Buffer.concat(chunks).subarray(0, bytes);
}

/**
 * The config of app `number`, in one of its versions, for one architecture; its icons are the same for all, as in a
 * real build.
 */
export function randomConfig(
  number: number,
  version: number,
  architecture: string,
  size: ImageSize = USUAL_SIZE,
): ImageConfig {
  const random = randomNumbers(number * 31 + version);
  const id = `org.example.App${String(number).padStart(5, '0')}`;
  const machine = architecture === 'amd64' ? 'x86_64' : 'aarch64';
  const words = (count: number): string =>
    Array.from({ length: count }, () => WORDS[Math.floor(random() * WORDS.length)]).join(' ');
  let appdata = `<?xml version="1.0" encoding="UTF-8"?>\n<components version="0.8"><component type="desktop"><id>${id}</id><name>App ${number}</name><summary>${words(6)}</summary><description>`;
  while (appdata.length < size.appdata - 60) appdata += `<p>${words(25)}</p>\n`;
  appdata += '</description></component></components>';
  const icon = (pixels: number, bytes: number): string =>
    `data:image/png;base64,${randomIcon(`${id} ${version} ${pixels}`, bytes).toString('base64')}`;
  return {
    os: 'linux',
    architecture,
    labels: {
      'org.flatpak.ref': `app/${id}/${machine}/stable`,
      'org.flatpak.metadata': `[Application]\nname=${id}\nruntime=org.example.Platform/${machine}/stable\ncommand=app${number}\n[Context]\nshared=network;ipc;\nsockets=wayland;fallback-x11;\nfilesystems=home;\n`,
      'org.flatpak.installed-size': String(1_000_000 + Math.floor(random() * 1e9)),
      'org.flatpak.download-size': String(1_000_000 + Math.floor(random() * 1e8)),
      'org.flatpak.body': words(20),
      'org.flatpak.subject': `version ${version}`,
      'org.freedesktop.appstream.appdata': appdata,
      'org.freedesktop.appstream.icon-64': icon(64, Math.floor(size.icons / 4)),
      'org.freedesktop.appstream.icon-128': icon(128, size.icons - Math.floor(size.icons / 4)),
    },
  };
}
