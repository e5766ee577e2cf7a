/** Layers as a command line names them: files, and images of OCI layouts. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { DeltaError } from '../deltas/delta-error.ts';
import { parseImageLayer } from '../deltas/image-layer.ts';
import type { Layer } from '../deltas/read-layer.ts';
import { CheckedBlobs } from '../registry/layout/checked-blobs.ts';
import { ContainedFolder } from '../registry/layout/contained-folder.ts';
import { Layout } from '../registry/layout/layout.ts';
import { MAX_CONFIG_BYTES } from '../registry/limits.ts';
import { parseManifest } from '../registry/parse-manifest.ts';
import { DEFAULT_TAG, isTag } from '../registry/reference.ts';
import { LAYOUT_PREFIX } from '../registry/registry-id.ts';

const CHUNK_BYTES = 64 * 1024;
/** `FOLDER`, `FOLDER:TAG` or `FOLDER@DIGEST`. */
const LAYOUT_REFERENCE = /^(?<folder>.+?)(?:@(?<digest>[a-z0-9]+:[0-9a-f]+)|:(?<tag>[^:/]+))?$/;

/**
 * The layer in the file at a path, or that of the image `oci:FOLDER[:TAG]` or `oci:FOLDER@DIGEST`.
 * @throws DeltaError or RegistryError if there is no such layer; the system's error
 */
export async function namedLayer(name: string): Promise<Layer> {
  if (name.startsWith(LAYOUT_PREFIX)) return layerOfLayout(name);
  if ((await stat(name)).isDirectory())
    throw new DeltaError('unsupported', `${name}: is a folder; an image layout is named ${LAYOUT_PREFIX}FOLDER:TAG`);
  return { name, open: () => createReadStream(name, { highWaterMark: CHUNK_BYTES }) };
}

async function layerOfLayout(name: string): Promise<Layer> {
  const { folder = '', digest, tag } = LAYOUT_REFERENCE.exec(name.slice(LAYOUT_PREFIX.length))?.groups ?? {};
  if (folder === '' || (tag !== undefined && !isTag(tag)))
    throw new DeltaError(
      'unsupported',
      `${name}: is not ${LAYOUT_PREFIX}FOLDER, ${LAYOUT_PREFIX}FOLDER:TAG or ${LAYOUT_PREFIX}FOLDER@DIGEST`,
    );
  const layout = new Layout(new ContainedFolder(resolve(folder)), '', new CheckedBlobs());
  const { descriptor, bytes } = await layout.open(digest ?? tag ?? DEFAULT_TAG);
  const manifest = parseManifest(bytes, descriptor);
  switch (manifest.kind) {
    case 'index':
      throw new DeltaError(
        'unsupported',
        `${name}: holds ${manifest.manifests.length} images; name one of them: ${manifest.manifests
          .map((image) => `${LAYOUT_PREFIX}${folder}@${image.digest}`)
          .join(', ')}`,
      );
    case 'artifact':
      throw new DeltaError('unsupported', `${name}: is not an image`);
    case 'image':
  }
  const config = await layout.blob(manifest.config.digest);
  if (config.size > MAX_CONFIG_BYTES)
    throw new DeltaError('too-large', `${name}: has a config of more than ${MAX_CONFIG_BYTES} bytes`);
  const layer = parseImageLayer(bytes, await buffer(config.stream()), name);
  return {
    name,
    diffId: layer.diffId,
    open: async () => (await layout.blob(layer.descriptor.digest)).stream(),
  };
}
