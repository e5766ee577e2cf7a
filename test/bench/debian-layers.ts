/** Layers made of two versions of a Debian package. */
import { closeSync, openSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { RandomAccess } from '../../src/deltas/random-access.ts';
import { readTar } from '../../src/deltas/read-tar.ts';
import { bareEnvironment } from '../peers/peer.ts';
import { runCommand } from '../peers/run-command.ts';

/** Two layers, compressed with gzip. */
export interface LayerPair {
  /** The package with both versions. */
  readonly title: string;
  /** Paths of the layers. */
  readonly before: string;
  readonly after: string;
  /** The size of the new one, uncompressed. */
  readonly archiveBytes: number;
}

/** Of files at least this large, one in two is edited. */
const EDITED_BYTES = 4096;

/**
 * Makes the layers of the two newest versions that the archive has; of one version and an edit of it if there is only
 * one. The edit is the same each time.
 */
export async function debianLayers(name: string, folder: string): Promise<LayerPair> {
  const run = (command: string, ...args: readonly string[]): Promise<string> =>
    runCommand(command, args, { cwd: folder, env: bareEnvironment(folder) });
  const madison = await run('apt-cache', 'madison', name);
  const [newest, older] = [...new Set(madison.split('\n').flatMap((line) => line.split('|')[1]?.trim() ?? []))];
  if (newest === undefined) throw new Error(`the archive has no package ${name}: run apt-get update`);
  const layer = async (version: string): Promise<string> => {
    await run('apt-get', 'download', '-qq', `${name}=${version}`);
    const archive = (await readdir(folder)).find((file) => file.endsWith('.deb')) ?? '';
    await run('sh', '-c', 'dpkg-deb --fsys-tarfile "$1" > "$2"', 'sh', archive, `${version}.tar`);
    await rm(join(folder, archive));
    return join(folder, `${version}.tar`);
  };
  const after = await layer(newest);
  const before = older === undefined ? await edited(after) : await layer(older);
  const archiveBytes = (await readFile(after)).length;
  return {
    title: `${name}, ${older ?? 'an edit'} to ${newest}`,
    before: await compressed(before),
    after: await compressed(after),
    archiveBytes,
  };
}

async function compressed(path: string): Promise<string> {
  await writeFile(`${path}.gz`, gzipSync(await readFile(path)));
  await rm(path);
  return `${path}.gz`;
}

/** Changes files as the next build of a program does: addresses within them, and the order of their parts. */
async function edited(path: string): Promise<string> {
  const archive = await readFile(path);
  const descriptor = openSync(path, 'r');
  let state = 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (const { kind, position, size } of readTar(new RandomAccess(path, descriptor, archive.length))) {
    if (kind !== 'file' || size < EDITED_BYTES || random(2) === 0) continue;
    const content = archive.subarray(position, position + size);
    const middle = random(size);
    Buffer.concat([content.subarray(middle), content.subarray(0, middle)]).copy(content);
    for (let place = 0; place < size; place += 8 + random(60)) content[place] = (content[place] as number) + random(64);
  }
  closeSync(descriptor);
  await writeFile(`${path}.edited`, archive);
  return `${path}.edited`;
}
