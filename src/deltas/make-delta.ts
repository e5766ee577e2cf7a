/** Makes the delta between two layers, and applies it to see that it leads to the new one. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';
import type { Digest } from '../registry/digest.ts';
import { applyDelta } from './apply-delta.ts';
import { DeltaError } from './delta-error.ts';
import { matchFiles, type FilePair } from './match-files.ts';
import { oldLayer, type OldLayer } from './old-layer.ts';
import { MAGIC } from './operations.ts';
import { readLayer, type Layer, type ReadLayerOptions, type UncompressedLayer } from './read-layer.ts';
import { RunningDigest } from './running-digest.ts';
import { TemporaryFile } from './temporary-file.ts';
import { writeOperations } from './write-operations.ts';

/**
 * Operations are short, and repeat little: matches from 3 bytes on save 5 % against level 12, in twice its time, on
 * another core than that which makes them. More searches would save up to 5 % more, in twice the time again;
 * smaller tables cost 0.1 %, and save 20 MB.
 */
const COMPRESSION = {
  [constants.ZSTD_c_compressionLevel]: 16,
  [constants.ZSTD_c_minMatch]: 3,
  [constants.ZSTD_c_searchLog]: 3,
  [constants.ZSTD_c_targetLength]: 24,
  [constants.ZSTD_c_chainLog]: 21,
  [constants.ZSTD_c_hashLog]: 20,
};
const CHUNK_BYTES = 128 * 1024;
/** Bytes of operations that wait for their compression, which goes on while others are made. */
const WAITING_BYTES = 1024 * 1024;

/** A delta in a temporary file, which is gone once it is closed. */
export interface Delta extends AsyncDisposable {
  readonly digest: Digest;
  /** The size in bytes. */
  readonly size: number;
  /** The DiffID of the old layer. */
  readonly from: Digest;
  /** The DiffID of the new layer. */
  readonly to: Digest;
  /** The size of the new layer as the registry has it, in bytes. */
  readonly layerSize: number;
  /** Streams the delta. */
  readonly stream: () => Readable;
  /** Returns up to `length` bytes from `start`. */
  readonly read: (start: number, length: number) => Buffer;
}

/**
 * Makes the delta from one layer to another. This occupies the thread, for seconds at a time where files are large.
 * @throws DeltaError; the errors of the layers' `open`; the signal's reason after an abort
 */
export async function makeDelta(from: Layer, to: Layer, options: ReadLayerOptions): Promise<Delta> {
  await using stack = new AsyncDisposableStack();
  const [before, after] = await readBoth(from, to, options, stack);
  const old = oldLayer(before.archive);
  const pairs = matchFiles(old, after.archive);
  const delta = await TemporaryFile.in(options.folder);
  try {
    const digest = await writeDelta(delta, old, after, pairs, options.signal);
    await checkDelta(delta, old, after, options.signal);
    return {
      digest,
      size: delta.size,
      from: before.diffId,
      to: after.diffId,
      layerSize: after.size,
      stream: () => delta.stream(),
      read: (start, length) =>
        Buffer.from(delta.randomAccess('the delta').read(start, Math.max(0, Math.min(length, delta.size - start)))),
      [Symbol.asyncDispose]: () => delta[Symbol.asyncDispose](),
    };
  } catch (error) {
    await delta[Symbol.asyncDispose]();
    options.signal?.throwIfAborted();
    throw error;
  }
}

/** Reads both layers at the same time; the first error stops the other one. */
async function readBoth(
  from: Layer,
  to: Layer,
  options: ReadLayerOptions,
  stack: AsyncDisposableStack,
): Promise<readonly [UncompressedLayer, UncompressedLayer]> {
  const failed = new AbortController();
  const signal = AbortSignal.any([failed.signal, ...(options.signal ? [options.signal] : [])]);
  const read = async (layer: Layer): Promise<UncompressedLayer> => {
    try {
      return stack.use(await readLayer(layer, { ...options, signal }));
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  };
  const both = [read(from), read(to)] as const;
  await Promise.allSettled(both);
  signal.throwIfAborted();
  return Promise.all(both);
}

/** Writes the delta and returns its digest. */
async function writeDelta(
  delta: TemporaryFile,
  old: OldLayer,
  { archive }: UncompressedLayer,
  pairs: readonly FilePair[],
  signal: AbortSignal | undefined,
): Promise<Digest> {
  const digest = new RunningDigest();
  const append = async (bytes: Buffer): Promise<void> => {
    digest.add(bytes);
    await delta.append(bytes);
  };
  await append(MAGIC);
  const operations = writeOperations(old.archive, archive, pairs);
  await pipeline(
    Readable.from(operations, { objectMode: false, highWaterMark: WAITING_BYTES }),
    createZstdCompress({ params: COMPRESSION, chunkSize: CHUNK_BYTES }),
    async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) await append(chunk);
    },
    { ...(signal && { signal }) },
  );
  return digest.digest;
}

/**
 * Applies the delta to the old layer.
 * @throws DeltaError `unequal` if the result is not the new layer
 */
async function checkDelta(
  delta: TemporaryFile,
  old: OldLayer,
  { archive, diffId }: UncompressedLayer,
  signal: AbortSignal | undefined,
): Promise<void> {
  const name = `the delta from ${old.archive.name} to ${archive.name}`;
  const made = new RunningDigest(diffId);
  for await (const chunk of applyDelta(old, delta.stream(), { name, maxBytes: archive.size })) {
    signal?.throwIfAborted();
    made.add(chunk);
  }
  if (made.digest !== diffId)
    throw new DeltaError('unequal', `${name}: leads to ${made.digest} instead, which is a fault of this program`);
}
