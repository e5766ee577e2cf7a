/** `regindexer deltas`: makes a delta between two layers by hand, or applies one. */
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { applyDelta } from '../deltas/apply-delta.ts';
import { RunningDigest } from '../deltas/running-digest.ts';
import { makeDelta } from '../deltas/make-delta.ts';
import { oldLayer } from '../deltas/old-layer.ts';
import { readLayer } from '../deltas/read-layer.ts';
import { amount } from '../system/amount.ts';
import { writeFileAtomically } from '../system/write-file.ts';
import { type CommandOptions, type Configure, SUCCESS } from './command.ts';
import { namedLayer } from './named-layer.ts';

/** The most bytes of an uncompressed layer: far more than any app has, and what a disk may have room for. */
const MAX_BYTES = 16 * 1024 ** 3;

/**
 * Writes the delta from one layer to another to the file `out`, or with `apply` the layer that a delta leads to. Returns
 * the exit status.
 */
export async function runDeltas(
  _: Configure,
  { apply = false }: CommandOptions,
  old = '',
  other = '',
  out = '',
): Promise<number> {
  await (apply ? applyTo : makeFrom)(old, other, out);
  return SUCCESS;
}

/** Writes a delta, and prints what it saves. */
async function makeFrom(old: string, other: string, out: string): Promise<void> {
  const started = performance.now();
  const [from, to] = await Promise.all([namedLayer(old), namedLayer(other)]);
  await using delta = await makeDelta(from, to, { folder: tmpdir(), maxBytes: MAX_BYTES });
  await writeFileAtomically(out, async (file) => {
    for await (const chunk of delta.stream()) await file.writeFile(chunk as Buffer);
  });
  process.stdout.write(
    `${out}: ${amount(delta.size, 'byte')}, ${((delta.size / delta.layerSize) * 100).toFixed(1)} % of the layer's ${delta.layerSize}, ${seconds(started)}\n` +
      `from ${delta.from}\nto ${delta.to}\n`,
  );
}

/** Writes the layer that a delta leads to, uncompressed, and prints its DiffID. */
async function applyTo(old: string, delta: string, out: string): Promise<void> {
  const started = performance.now();
  // Opened before the file that is written, so that an error names the right one.
  await using file = await open(delta);
  await using layer = await readLayer(await namedLayer(old), { folder: tmpdir(), maxBytes: MAX_BYTES });
  const made = new RunningDigest();
  await writeFileAtomically(out, async (written) => {
    const chunks = applyDelta(oldLayer(layer.archive), file.createReadStream({ autoClose: false }), {
      name: delta,
      maxBytes: MAX_BYTES,
    });
    for await (const chunk of made.pass(chunks)) await written.writeFile(chunk);
  });
  process.stdout.write(`${out}: ${amount(made.bytes, 'byte')}, ${made.digest}, ${seconds(started)}\n`);
}

function seconds(started: number): string {
  return `${((performance.now() - started) / 1000).toFixed(2)} s`;
}
