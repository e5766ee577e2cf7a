/** Layers and deltas that are damaged, or made to do harm. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import * as fc from 'fast-check';
import { DeltaError } from '../../src/deltas/delta-error.ts';
import { MAGIC, OPERATION } from '../../src/deltas/operations.ts';
import { apply, deltaBetween, noise } from './layers.ts';
import { tarOf } from './write-tar.ts';

const PROGRAM = noise(1, 20_000);
const BEFORE = tarOf([
  { path: 'bin/program', content: PROGRAM },
  { path: 'long/'.repeat(30), type: '5' },
  { path: 'a', content: Buffer.from('some text') },
]);
const AFTER = tarOf([
  { path: 'bin/program', content: Buffer.concat([PROGRAM.subarray(50), PROGRAM.subarray(0, 50)]) },
  { path: `${'long/'.repeat(30)}file`, content: noise(2, 3000), long: 'gnu' },
  { path: 'b', type: '1', target: 'bin/program' },
]);

/** The bytes cut, changed, doubled or moved in a few places. */
function damaged(whole: Buffer): fc.Arbitrary<Buffer> {
  const place = fc.nat(whole.length);
  return fc
    .array(
      fc.oneof(
        fc.record({ cut: place }),
        fc.record({ at: place, byte: fc.nat(255) }),
        fc.record({ at: place, bit: fc.nat(7) }),
        fc.record({ at: place, zeros: fc.nat(2000) }),
        fc.record({ at: place, from: place, length: fc.nat(2000) }),
      ),
      { minLength: 1, maxLength: 5 },
    )
    .map((changes) =>
      changes.reduce((bytes, change) => {
        if ('cut' in change) return bytes.subarray(0, change.cut);
        const before = bytes.subarray(0, change.at);
        if ('byte' in change) return Buffer.concat([before, Buffer.from([change.byte]), bytes.subarray(change.at + 1)]);
        if ('bit' in change) {
          const byte = (bytes[change.at] ?? 0) ^ (1 << change.bit);
          return Buffer.concat([before, Buffer.from([byte]), bytes.subarray(change.at + 1)]);
        }
        if ('zeros' in change)
          return Buffer.concat([before, Buffer.alloc(change.zeros), bytes.subarray(change.at + change.zeros)]);
        const moved = bytes.subarray(change.from, change.from + change.length);
        return Buffer.concat([before, moved, bytes.subarray(change.at)]);
      }, whole),
    );
}

/** Resolves to what `run` does; `undefined` if that is an error of this room. */
async function unlessRefused<T>(run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof DeltaError) return undefined;
    throw error;
  }
}

for (const [name, compress] of [
  ['plain', (bytes: Buffer) => bytes],
  ['gzip', (bytes: Buffer) => gzipSync(bytes)],
  ['zstd', (bytes: Buffer) => zstdCompressSync(bytes)],
] as const) {
  test(`a damaged layer (${name}) is refused, or used as it is`, async () => {
    await fc.assert(
      fc.asyncProperty(damaged(compress(BEFORE)), damaged(compress(AFTER)), async (before, after) => {
        await unlessRefused(() => deltaBetween(before, compress(AFTER)));
        await unlessRefused(() => deltaBetween(compress(BEFORE), after));
      }),
      { numRuns: 200 },
    );
  });
}

test('a damaged archive in a layer that is whole is refused, or used as it is', async () => {
  await fc.assert(
    fc.asyncProperty(damaged(BEFORE), damaged(AFTER), async (before, after) => {
      const delta = await unlessRefused(() => deltaBetween(before, after));
      if (delta !== undefined) assert.ok((await apply(before, delta)).equals(after));
    }),
    { numRuns: 200 },
  );
});

test('a damaged delta is refused, or makes another archive', async () => {
  const whole = await deltaBetween(BEFORE, AFTER);
  await fc.assert(
    fc.asyncProperty(damaged(whole), async (delta) => {
      await unlessRefused(() => apply(BEFORE, delta));
    }),
    { numRuns: 200 },
  );
});

/** A delta of these bytes of operations. */
function deltaOf(...operations: readonly (readonly number[] | string)[]): Buffer {
  return Buffer.concat([MAGIC, zstdCompressSync(Buffer.concat(operations.map((each) => Buffer.from(each as string))))]);
}

const open = (path: string): readonly number[] => [OPERATION.open, path.length, ...Buffer.from(path)];
const HUGE = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];

test('any operations are refused, or carried out', async () => {
  const operation = fc.tuple(
    fc.oneof(fc.constantFrom(...Object.values(OPERATION)), fc.nat(255)),
    fc.oneof(
      fc.nat(127).map((number) => [number]),
      fc.array(fc.nat(255), { minLength: 1, maxLength: 10 }),
    ),
    fc.oneof(fc.constant([...Buffer.from('a')]), fc.array(fc.nat(255), { maxLength: 20 })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 10 }), async (operations) => {
      await unlessRefused(() => apply(BEFORE, deltaOf(open('a'), operations.flat(2))));
    }),
    { numRuns: 300 },
  );
});

for (const [name, delta, message] of [
  ['that is something else', Buffer.from('tardf2\n\0more'), /^a delta: is not a delta$/],
  ['that is empty', Buffer.alloc(0), /^a delta: is not a delta$/],
  ['without its operations', MAGIC, /^a delta: cannot be uncompressed/],
  [
    'whose compression is damaged',
    Buffer.concat([MAGIC, Buffer.alloc(20)]),
    /^a delta: has bytes between its zstd frames/,
  ],
  ['with an unknown operation', deltaOf([5, 0]), /^a delta: has the operation 5, which is unknown$/],
  ['that ends in a number', deltaOf([OPERATION.data, 0x80]), /^a delta: ends early$/],
  ['that ends in bytes', deltaOf([OPERATION.data, 5], 'four'), /^a delta: ends early$/],
  ['that ends in a path', deltaOf([OPERATION.open, 5], 'four'), /^a delta: ends early$/],
  ['with a number over 2⁵³', deltaOf([OPERATION.seek, 0xff, ...HUGE.slice(0, -1), 0x7f]), /number that is too large$/],
  [
    'with a number without an end',
    deltaOf([OPERATION.seek, ...Array.from({ length: 20 }, () => 0x80)]),
    /number that is too large$/,
  ],
  ['with a path without an end', deltaOf([OPERATION.open, ...HUGE]), /^a delta: has a path of \d+ bytes$/],
  ['that copies before it opens', deltaOf([OPERATION.copy, 1]), /^a delta: reads an old file before it opens one$/],
  ['that opens what is not there', deltaOf(open('x')), /^a delta: needs "x", which is not a file of the old layer$/],
  ['that opens a folder', deltaOf(open('long')), /which is not a file of the old layer$/],
  ['that leads out', deltaOf(open('../../etc/passwd')), /which is not a file of the old layer$/],
  ['that reads too far', deltaOf(open('a'), [OPERATION.copy, 10]), /^a delta: reads "a" beyond its end$/],
  [
    'that seeks too far',
    deltaOf(open('a'), [OPERATION.seek, 9, OPERATION.add, 1, 1]),
    /^a delta: reads "a" beyond its end$/,
  ],
] as const)
  test(`a delta ${name} is an error`, () =>
    assert.rejects(apply(BEFORE, delta), { name: 'DeltaError', code: 'damaged', message }));

test('a small delta that makes very much is an error', async () => {
  const bomb = deltaOf(open('a'), ...Array.from({ length: 100_000 }, () => [OPERATION.copy, 9, OPERATION.seek, 0]));
  await assert.rejects(apply(BEFORE, bomb, 500_000), {
    name: 'DeltaError',
    code: 'too-large',
    message: /^a delta: makes more than 500000 bytes$/,
  });
});

test('a small delta that makes nothing in very many operations is an error', async () => {
  // Each two bytes seek to the place 4.
  const bomb = deltaOf('\u0004'.repeat(4_000_000));
  await assert.rejects(apply(BEFORE, bomb), {
    name: 'DeltaError',
    code: 'damaged',
    message: /^a delta: has too many operations that make nothing$/,
  });
});

test('paths of a delta are relative to the root of the layer', async () => {
  for (const path of ['a', './a', '/a', '../a', 'long/../a'])
    assert.equal((await apply(BEFORE, deltaOf(open(path), [OPERATION.copy, 9]))).toString(), 'some text');
});
