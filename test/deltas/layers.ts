/** Layers in memory, and deltas between them. */
import { createCipheriv } from 'node:crypto';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { applyDelta } from '../../src/deltas/apply-delta.ts';
import { makeDelta } from '../../src/deltas/make-delta.ts';
import { oldLayer } from '../../src/deltas/old-layer.ts';
import { readLayer, type Layer, type ReadLayerOptions } from '../../src/deltas/read-layer.ts';
import { readTar, type TarEntry } from '../../src/deltas/read-tar.ts';

export const OPTIONS: ReadLayerOptions = { folder: tmpdir(), maxBytes: 64 * 1024 * 1024 };

export function layerOf(bytes: Buffer, known: Partial<Layer> = {}): Layer {
  return { name: 'a layer', open: () => Readable.from([bytes]), ...known };
}

/** The entries of an archive. */
export async function entriesOf(archive: Buffer): Promise<readonly TarEntry[]> {
  await using layer = await readLayer(layerOf(archive), OPTIONS);
  return [...readTar(layer.archive)];
}

/** The bytes of the delta from one layer to another. */
export async function deltaBetween(before: Buffer, after: Buffer): Promise<Buffer> {
  await using delta = await makeDelta(layerOf(before), layerOf(after), OPTIONS);
  // Awaited here, before the delta is gone.
  return await buffer(delta.stream());
}

/** The archive that a delta makes of a layer. */
export async function apply(before: Buffer, delta: Buffer, maxBytes = OPTIONS.maxBytes): Promise<Buffer> {
  await using layer = await readLayer(layerOf(before), OPTIONS);
  const old = oldLayer(layer.archive);
  return Buffer.concat(await Array.fromAsync(applyDelta(old, Readable.from([delta]), { name: 'a delta', maxBytes })));
}

/** Bytes that look random, the same for a seed. */
export function noise(seed: number, length: number): Buffer {
  const key = Buffer.alloc(16, seed);
  return createCipheriv('aes-128-ctr', key, key).update(Buffer.alloc(length));
}
