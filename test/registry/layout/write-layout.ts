/** Writes small OCI image layouts into temporary folders. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { digestOf, type Digest } from '../../../src/registry/digest.ts';
import type { Descriptor } from '../../../src/registry/manifest.ts';

export const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const INDEX = 'application/vnd.oci.image.index.v1+json';
export const CONFIG = 'application/vnd.oci.image.config.v1+json';

/** An image and the content of its config. `tag` is its name in index.json. */
export interface WrittenImage {
  readonly tag?: string;
  readonly architecture?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A folder that is removed after the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'layouts-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

/** The path of a blob in a layout. */
export function blobFile(layout: string, digest: Digest): string {
  return join(layout, 'blobs', ...digest.split(':'));
}

export async function writeBlob(layout: string, content: string | Buffer): Promise<Digest> {
  const digest = digestOf(content);
  await mkdir(dirname(blobFile(layout, digest)), { recursive: true });
  await writeFile(blobFile(layout, digest), content);
  return digest;
}

/** Writes an image's blobs and returns its descriptor. */
export async function writeImage(
  layout: string,
  { architecture = 'amd64', labels = {} }: WrittenImage = {},
): Promise<Descriptor> {
  const config = JSON.stringify({ os: 'linux', architecture, config: { Labels: labels } });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType: CONFIG, digest: await writeBlob(layout, config), size: config.length },
    layers: [],
  });
  return { mediaType: MANIFEST, digest: await writeBlob(layout, manifest), size: manifest.length };
}

/** Writes index.json, with the tags as `ref.name` annotations, and oci-layout. */
export async function writeIndex(
  layout: string,
  manifests: readonly (readonly [tag: string | undefined, descriptor: object])[],
): Promise<void> {
  await mkdir(layout, { recursive: true });
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const entries = manifests.map(([tag, descriptor]) => ({
    ...descriptor,
    ...(tag === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': tag } }),
  }));
  await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: entries }));
}

/** Writes a whole layout and returns the descriptors of its images. */
export async function writeLayout(layout: string, images: readonly WrittenImage[] = [{}]): Promise<Descriptor[]> {
  const descriptors: Descriptor[] = [];
  for (const image of images) descriptors.push(await writeImage(layout, image));
  await writeIndex(
    layout,
    descriptors.map((descriptor, position) => [images[position]?.tag, descriptor]),
  );
  return descriptors;
}
