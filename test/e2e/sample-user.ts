/** Who uses the sample images with the real flatpak: each step with all that must come of it. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FlatpakClient } from '../peers/flatpak.ts';
import { get, indexOf } from './ask-server.ts';

const HELLO = 'org.example.Hello';
const SAMPLES = ['org.example.Clock', 'org.example.Hello', 'org.example.Platform'];
const QUIET = ['--assumeyes', '--noninteractive'];

/** Adds the remote `apps` and sees all that is in it. */
export async function addRemote(user: FlatpakClient, url: string): Promise<void> {
  await user.flatpak('remote-add', '--user', 'apps', `oci+${url}`);
  const listed = await user.flatpak('remote-ls', '--user', '--all', 'apps', '--columns=ref,name');
  assert.deepEqual(rows(listed), [
    ['app/org.example.Clock/x86_64/stable', 'Clock'],
    ['app/org.example.Hello/x86_64/stable', 'Hello'],
    ['runtime/org.example.Platform/x86_64/stable', 'example platform'],
  ]);
}

/** Installs the app, and with it the runtime that it needs. */
export async function installHello(user: FlatpakClient): Promise<void> {
  await user.flatpak('install', '--user', ...QUIET, 'apps', HELLO);
  const installed = await user.flatpak('list', '--user', '--columns=ref,origin');
  assert.deepEqual(rows(installed), [
    ['org.example.Hello/x86_64/stable', 'apps'],
    ['org.example.Platform/x86_64/stable', 'apps'],
  ]);
}

export async function runHello(user: FlatpakClient, version: string): Promise<void> {
  assert.equal(await user.flatpak('run', '--user', HELLO), `Hello from org.example.Hello ${version}\n`);
}

export async function update(user: FlatpakClient): Promise<void> {
  await user.flatpak('update', '--user', ...QUIET);
}

/**
 * Has appdata and icons of the remote brought onto the disk: the icons are, byte for byte, those that the index names.
 */
export async function updateAppstream(user: FlatpakClient, url: string): Promise<void> {
  await user.flatpak('update', '--user', '--appstream', 'apps');
  const index = await indexOf(url);
  const icons = new Map(
    index.Results.flatMap(({ Images }) =>
      Images.flatMap(({ Labels }) =>
        ['64', '128'].map(
          (size) => [iconFile(Labels, size), Labels[`org.freedesktop.appstream.icon-${size}`] ?? ''] as const,
        ),
      ),
    ),
  );
  const folder = join(user.installation, 'appstream/apps/x86_64/icons');
  const onDisk = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.png'));
  assert.deepEqual(onDisk.toSorted(), SAMPLES.flatMap((id) => [`128x128/${id}.png`, `64x64/${id}.png`]).toSorted());
  for (const file of onDisk) {
    const icon = icons.get(file);
    assert.match(
      icon ?? '',
      /^\/(?:.+\/)?icons\/[0-9a-f]{2}\/[0-9a-f]{62}\.png$/,
      `the index names no file for ${file}`,
    );
    const { body } = await get(new URL(icon ?? '', url).href);
    assert.deepEqual(await readFile(join(folder, file)), body);
  }
}

/** Finds the app by its name. */
export async function searchHello(user: FlatpakClient, version: string): Promise<void> {
  const found = await user.flatpak('search', '--user', 'hello', '--columns=application,version,remotes');
  assert.deepEqual(rows(found), [[HELLO, version, 'apps']]);
}

/** Where Flatpak keeps the icon of an image. */
function iconFile(labels: Readonly<Record<string, string>>, size: string): string {
  const [, id] = (labels['org.flatpak.ref'] ?? '').split('/');
  return `${size}x${size}/${id}.png`;
}

/** The table that flatpak prints where there is no terminal, sorted. */
function rows(printed: string): readonly string[][] {
  return printed
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'))
    .toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1));
}
