/** Versions of the app `apps/hello` that differ in files of its one layer, in a registry or a folder of layouts. */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { digestOf, type Digest } from '../../src/registry/digest.ts';
import type { Descriptor } from '../../src/registry/manifest.ts';
import { noise } from '../deltas/layers.ts';
import { tarOf, type WrittenEntry } from '../deltas/write-tar.ts';
import type { RegistryWriter } from './registry-writer.ts';

export const REPOSITORY = 'apps/hello';
/** The empty blocks at the end of an archive. */
const END_BYTES = 1024;

/** An image of the app that was pushed. */
export interface PushedImage {
  readonly digest: Digest;
  readonly diffId: Digest;
  /** The archive of its one layer, and the digest of that as it was pushed. */
  readonly tar: Buffer;
  readonly layer: Digest;
}

/** Where images are written. */
export type ImageWriter = Pick<RegistryWriter, 'blob' | 'manifest'>;

/** Writes images into a folder of image layouts; earlier ones stay there. */
export class LayoutWriter implements ImageWriter {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async blob(repository: string, mediaType: string, content: string | Uint8Array): Promise<Descriptor> {
    const digest = digestOf(content);
    const file = join(this.#folder, repository, 'blobs', ...digest.split(':'));
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
    return { mediaType, digest, size: Buffer.byteLength(content) };
  }

  async manifest(repository: string, mediaType: string, content: object, tag?: string): Promise<Descriptor> {
    const descriptor = await this.blob(
      repository,
      mediaType,
      JSON.stringify({ schemaVersion: 2, mediaType, ...content }),
    );
    const annotations = { 'org.opencontainers.image.ref.name': tag };
    const index = { schemaVersion: 2, manifests: [{ ...descriptor, annotations }] };
    await writeFile(join(this.#folder, repository, 'index.json'), JSON.stringify(index));
    return descriptor;
  }
}

/** Pushes the image of a layout as `apps/hello:latest`, with more files in its layer. */
export async function pushImage(
  writer: ImageWriter,
  layout: string,
  files: readonly WrittenEntry[],
): Promise<PushedImage> {
  const blob = (digest: Digest): Promise<Buffer> => readFile(join(layout, 'blobs', ...digest.split(':')));
  const { manifests } = await json<{ manifests: readonly [Descriptor] }>(readFile(join(layout, 'index.json')));
  const manifest = await json<{ config: Descriptor; layers: readonly [Descriptor] }>(blob(manifests[0].digest));
  const config = await json<{ rootfs: object }>(blob(manifest.config.digest));
  const archive = gunzipSync(await blob(manifest.layers[0].digest));
  const tar = Buffer.concat([archive.subarray(0, -END_BYTES), tarOf(files)]);
  assert.ok(archive.subarray(-END_BYTES).every((byte) => byte === 0));
  const diffId = digestOf(tar);
  const [newConfig, layer] = [
    { ...config, rootfs: { type: 'layers', diff_ids: [diffId] } },
    await writer.blob(REPOSITORY, manifest.layers[0].mediaType, gzipSync(tar)),
  ];
  const { digest } = await writer.manifest(
    REPOSITORY,
    manifests[0].mediaType,
    {
      ...manifest,
      config: await writer.blob(REPOSITORY, manifest.config.mediaType, JSON.stringify(newConfig)),
      layers: [layer],
    },
    'latest',
  );
  return { digest, diffId, tar, layer: layer.digest };
}

async function json<T>(bytes: Promise<Buffer>): Promise<T> {
  return JSON.parse((await bytes).toString()) as T;
}

/** Files of an app before and after an update: a program, a library that is renamed, and one that becomes a link. */
const PROGRAM = noise(1, 300_000);
const LIBRARY = noise(2, 100_000);
export const FILES_BEFORE: readonly WrittenEntry[] = [
  { path: 'files/share/program', content: PROGRAM },
  { path: 'files/share/libx.so.1', content: LIBRARY },
  { path: 'files/share/same', content: noise(3, 50_000) },
  { path: 'files/share/linked', type: '1', target: 'files/share/program' },
  { path: `files/share/${'long'.repeat(40)}`, content: noise(4, 5000) },
];
export const FILES_AFTER: readonly WrittenEntry[] = [
  {
    path: 'files/share/program',
    content: Buffer.concat([PROGRAM.subarray(200_000), noise(5, 100), PROGRAM.subarray(0, 200_000).map(nextInPlaces)]),
  },
  { path: 'files/share/libx.so.2', content: LIBRARY.subarray(40) },
  { path: 'files/share/same', content: noise(3, 50_000) },
  { path: 'files/share/linked', content: PROGRAM.subarray(7) },
  { path: `files/share/moved/${'long'.repeat(40)}`, content: noise(4, 5000) },
];

/** One byte in 24 is larger, as addresses are in the next build of a program. */
function nextInPlaces(byte: number, place: number): number {
  return place % 24 === 5 ? byte + 16 : byte;
}

/** Says whether the files of the app after the update are on the disk of a user. */
export async function requireFilesAfter(installation: string): Promise<void> {
  const installed = join(installation, 'app/org.example.Hello/current/active');
  for (const { path, content } of FILES_AFTER)
    assert.ok((await readFile(join(installed, path))).equals(content ?? assert.fail()), path);
}
