/** Reads a layer: uncompressed, into a temporary file, and checked against its digests. */
import type { Digest } from '../registry/digest.ts';
import { DeltaError } from './delta-error.ts';
import { RunningDigest } from './running-digest.ts';
import type { RandomAccess } from './random-access.ts';
import { TemporaryFile } from './temporary-file.ts';
import { uncompress } from './uncompress.ts';

/** A layer as a registry has it: a tar archive, plain or compressed with gzip or zstd. */
export interface Layer {
  /** The name for messages. */
  readonly name: string;
  /** The digest of its bytes, if it is known. */
  readonly digest?: Digest | undefined;
  /** The digest of the uncompressed archive, if it is known (OCI image-spec, config.md, "Layer DiffID"). */
  readonly diffId?: Digest | undefined;
  /** Streams its bytes. */
  readonly open: (signal?: AbortSignal) => AsyncIterable<Buffer> | Promise<AsyncIterable<Buffer>>;
}

/** Where a layer is uncompressed to, and its limit. */
export interface ReadLayerOptions {
  /** The folder of temporary files. */
  readonly folder: string;
  /** The most bytes of a layer when it is uncompressed. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/** The archive of a layer, in a temporary file that is gone once it is closed. */
export interface UncompressedLayer extends AsyncDisposable {
  readonly archive: RandomAccess;
  readonly diffId: Digest;
  /** The size of the layer before, in bytes. */
  readonly size: number;
}

/**
 * Reads a layer.
 * @throws DeltaError `damaged`, `too-large` or `digest-mismatch`; the errors of its `open`; the signal's reason after
 * an abort
 */
export async function readLayer(
  { name, digest, diffId, open }: Layer,
  { folder, maxBytes, signal }: ReadLayerOptions,
): Promise<UncompressedLayer> {
  const compressed = new RunningDigest(digest);
  const uncompressed = new RunningDigest(diffId);
  const file = await TemporaryFile.in(folder);
  try {
    for await (const chunk of uncompress(compressed.pass(await open(signal)), name)) {
      signal?.throwIfAborted();
      uncompressed.add(chunk);
      if (uncompressed.bytes > maxBytes)
        throw new DeltaError('too-large', `${name}: uncompressed it has more than ${maxBytes} bytes`);
      await file.append(chunk);
    }
    requireDigest(`${name}: has the digest`, compressed, digest);
    requireDigest(`${name}: has the DiffID`, uncompressed, diffId);
    return {
      archive: file.randomAccess(name),
      diffId: uncompressed.digest,
      size: compressed.bytes,
      [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
    };
  } catch (error) {
    await file[Symbol.asyncDispose]();
    throw error;
  }
}

function requireDigest(message: string, { digest }: RunningDigest, expected: Digest | undefined): void {
  if (expected !== undefined && digest !== expected)
    throw new DeltaError('digest-mismatch', `${message} ${digest}, expected ${expected}`);
}
