/**
 * The thread that makes deltas, one at a time and at low priority: reads layers from registries into temporary files, and
 * keeps the delta in another one until it is fetched. It knows nothing of the store.
 */
import { constants, setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { DeltaError } from '../deltas/delta-error.ts';
import { type ImageLayer, parseImageLayer } from '../deltas/image-layer.ts';
import { type Delta, makeDelta } from '../deltas/make-delta.ts';
import type { Layer } from '../deltas/read-layer.ts';
import { FLATPAK_REF, parseFlatpakRef } from '../indexing/appdata/flatpak-image.ts';
import { parseAppdata } from '../indexing/appdata/parse-appdata.ts';
import type { DeltaLimits } from '../indexing/deltas/delta-queue.ts';
import { createRegistrySource, type RegistryOptions } from '../registry/create-registry-source.ts';
import { type Digest, matchesDigest } from '../registry/digest.ts';
import { MAX_CONFIG_BYTES } from '../registry/limits.ts';
import type { Descriptor } from '../registry/manifest.ts';
import { parseDescriptor } from '../registry/parse-descriptor.ts';
import { parseImageConfig } from '../registry/parse-image-config.ts';
import { parseJsonObject } from '../registry/json-object.ts';
import { RegistryError } from '../registry/registry-error.ts';
import type { ImageSource } from '../registry/registry-source.ts';
import { PIECE_BYTES } from '../store/blobs.ts';
import type { DeltaOutcome, PendingDelta } from '../store/deltas.ts';
import { answerCalls } from './calls.ts';

/** Options of the thread; cloneable. */
export interface DeltaWorkerOptions {
  /** Folder of temporary files. */
  readonly folder: string;
  readonly registries: readonly RegistryOptions[];
}

let options: DeltaWorkerOptions | undefined;
/** The last delta that was made. */
let made: Delta | undefined;

const methods = {
  /** Must be called before all others. */
  configure(_signal: AbortSignal, configured: DeltaWorkerOptions): void {
    options = configured;
    // On Linux this sets the priority of the thread alone; elsewhere it would slow the whole service down.
    if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_LOW);
  },

  /**
   * Makes a delta.
   * @throws RegistryError `unavailable` or `denied`, or DeltaError `disk`: it may succeed later
   */
  async make(signal: AbortSignal, pending: PendingDelta, limits: DeltaLimits): Promise<DeltaOutcome> {
    await release();
    if (options === undefined) throw new Error('the thread that makes deltas has not been configured');
    const registry = options.registries.find(({ id }) => id === pending.registry);
    if (registry === undefined) throw new RangeError(`the registry ${pending.registry} is not configured`);
    const source = createRegistrySource(registry);
    try {
      return await makeBetween(source, pending, limits, options.folder, signal);
    } catch (error) {
      const outcome = outcomeOf(error);
      if (outcome === undefined) throw error;
      return outcome;
    } finally {
      await source.close();
    }
  },

  /** Returns a piece of the delta that was made last, counted from 0; empty behind its end. */
  async piece(_signal: AbortSignal, position: number): Promise<Uint8Array> {
    if (made === undefined) throw new TypeError('no delta was made');
    return made.read(position * PIECE_BYTES, PIECE_BYTES);
  },
};
/** Methods that the main thread calls. */
export type DeltaWorkerMethods = typeof methods;

async function release(): Promise<void> {
  const before = made;
  made = undefined;
  await before?.[Symbol.asyncDispose]();
}

async function makeBetween(
  source: ImageSource,
  { repository, source: before, target }: PendingDelta,
  { maxRatio, minSize, maxLayer, maxStore }: DeltaLimits,
  folder: string,
  signal: AbortSignal,
): Promise<DeltaOutcome> {
  const from = await readImage(source, repository, before, signal);
  const to = await readImage(source, repository, target, signal);
  if (from.layer.diffId === to.layer.diffId) return unsuitable('both images have the same layer');
  if (to.layer.descriptor.size < minSize)
    return unsuitable(`the layer has ${to.layer.descriptor.size} bytes, less than min_size`);
  for (const { layer } of [from, to])
    if (layer.descriptor.size > maxLayer)
      return unsuitable(`a layer has ${layer.descriptor.size} bytes, more than max_layer`);
  const delta = await makeDelta(layerOf(source, repository, from.layer), layerOf(source, repository, to.layer), {
    folder,
    maxBytes: maxLayer,
    signal,
  });
  if (delta.size > maxRatio * delta.layerSize) {
    await delta[Symbol.asyncDispose]();
    return unsuitable(`the delta has ${delta.size} bytes, more than max_ratio of the layer’s ${delta.layerSize}`);
  }
  if (delta.size > maxStore) {
    await delta[Symbol.asyncDispose]();
    return unsuitable(`the delta has ${delta.size} bytes, more than max_store`);
  }
  made = delta;
  const { digest, size, layerSize, from: fromLayer, to: toLayer } = delta;
  return { kind: 'made', digest, size, layerSize, from: fromLayer, to: toLayer, version: from.version };
}

/** The layer of an image, and the version that its app data names. */
interface ReadImage {
  readonly layer: ImageLayer;
  readonly version: string;
}

async function readImage(
  source: ImageSource,
  repository: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<ReadImage> {
  const name = `${repository}@${digest}`;
  const { bytes: manifest } = await source.openManifest(repository, digest, signal);
  const config = await readConfig(
    source,
    repository,
    parseDescriptor(parseJsonObject(manifest).config, 'config'),
    signal,
  );
  return { layer: parseImageLayer(manifest, config, name), version: versionIn(config) };
}

async function readConfig(
  source: ImageSource,
  repository: string,
  { digest, size }: Descriptor,
  signal: AbortSignal,
): Promise<Buffer> {
  const where = `${repository}@${digest}`;
  if (size > MAX_CONFIG_BYTES)
    throw new RegistryError('too-large', `${where}: the config has more than ${MAX_CONFIG_BYTES} bytes`);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of await source.readBlob(repository, digest, signal)) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > size) throw new RegistryError('too-large', `${where}: the config has more than ${size} bytes`);
  }
  const bytes = Buffer.concat(chunks);
  if (!matchesDigest(bytes, digest))
    throw new RegistryError('digest-mismatch', `${where}: the bytes received do not match the digest`);
  return bytes;
}

/** Returns the version of the newest release in the app data of an image; empty if there is none. */
function versionIn(config: Buffer): string {
  const labels = parseImageConfig(config)?.labels ?? {};
  const id = parseFlatpakRef(labels[FLATPAK_REF])?.id;
  if (id === undefined) return '';
  return parseAppdata(labels['org.freedesktop.appstream.appdata'] ?? '', { id }).releases[0]?.version ?? '';
}

function layerOf(source: ImageSource, repository: string, { descriptor, diffId }: ImageLayer): Layer {
  return {
    name: `${repository}@${descriptor.digest}`,
    digest: descriptor.digest,
    diffId,
    open: (signal) => source.readBlob(repository, descriptor.digest, signal),
  };
}

function unsuitable(reason: string): DeltaOutcome {
  return { kind: 'unsuitable', reason };
}

/** Returns what an error means for the delta; `undefined` if it may succeed later. */
function outcomeOf(error: unknown): DeltaOutcome | undefined {
  if (error instanceof DeltaError && error.code !== 'disk')
    return error.code === 'unsupported' || error.code === 'too-large'
      ? unsuitable(error.message)
      : { kind: 'failed', reason: error.message };
  // A login may be mended or renewed.
  if (error instanceof RegistryError && error.code !== 'unavailable' && error.code !== 'denied')
    return { kind: 'failed', reason: error.message };
  return undefined;
}

if (parentPort) answerCalls(parentPort, methods);
