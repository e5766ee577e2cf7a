import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { suite, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import * as fc from 'fast-check';
import { makeDelta } from '../../src/deltas/make-delta.ts';
import { digestOf } from '../../src/registry/digest.ts';
import { apply, deltaBetween, layerOf, noise, OPTIONS } from './layers.ts';
import { tarOf, type WrittenEntry } from './write-tar.ts';

/** The reference's program that applies deltas, which no package of Debian has. */
const TAR_PATCH = 'tar-patch';
const hasTarPatch = spawnSync(TAR_PATCH, ['--version']).status === 0;

const path = fc
  .array(fc.constantFrom('lib', 'share', 'a', 'b', 'x.so.1', 'ä', 'long'.repeat(20)), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join('/'));
const content = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.tuple(fc.nat(5), fc.nat(3000)).map(([seed, length]) => noise(seed, length)),
  fc.tuple(fc.nat(255), fc.nat(3000)).map(([byte, length]) => Buffer.alloc(length, byte)),
  {
    weight: 1,
    arbitrary: fc.tuple(fc.nat(5), fc.constantFrom(70_000, 300_000)).map(([seed, length]) => noise(seed, length)),
  },
);
const entry: fc.Arbitrary<WrittenEntry> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ path, content, long: fc.constantFrom('pax' as const, 'gnu' as const) }) },
  { weight: 1, arbitrary: fc.record({ path, content, mode: fc.constant(0o600) }) },
  fc.record({ path, type: fc.constantFrom('1', '2'), target: path }),
  fc.record({ path, type: fc.constant('5') }),
);

type Edit = (content: Buffer) => Buffer;
const edit: fc.Arbitrary<Edit> = fc
  .record({ at: fc.nat(), length: fc.nat(200), insert: fc.uint8Array({ maxLength: 200 }) })
  .map(({ at, length, insert }) => (bytes) => {
    const place = at % (bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, place), insert, bytes.subarray(place + length)]);
  });
/** Changes one byte in so many, as addresses in a program change. */
const shift: fc.Arbitrary<Edit> = fc
  .integer({ min: 5, max: 100 })
  .map((every) => (bytes) => Buffer.from(bytes.map((byte, place) => (place % every === 0 ? byte + 1 : byte))));

/** Entries, and what has become of them: some are removed, renamed, edited, moved to the end, and new ones are there. */
const pair = fc
  .record({
    before: fc.array(entry, { maxLength: 12 }),
    changes: fc.array(
      fc.oneof(
        { weight: 3, arbitrary: fc.constant({}) },
        fc.constant({ removed: true }),
        fc.record({ renamed: path }),
        fc.record({ edits: fc.array(fc.oneof(edit, shift), { minLength: 1, maxLength: 4 }) }),
      ),
      { minLength: 12, maxLength: 12 },
    ),
    added: fc.array(entry, { maxLength: 4 }),
  })
  .map(({ before, changes, added }) => {
    const after = before.flatMap((each, position): readonly WrittenEntry[] => {
      const change: { removed?: boolean; renamed?: string; edits?: readonly Edit[] } = changes[position] ?? {};
      if (change.removed === true) return [];
      const bytes = each.content;
      return [
        {
          ...each,
          ...(change.renamed !== undefined && { path: change.renamed }),
          ...(bytes && { content: (change.edits ?? []).reduce<Buffer>((all, one) => one(all), Buffer.from(bytes)) }),
        },
      ];
    });
    return [tarOf(before), tarOf([...after, ...added])] as const;
  });

test('a delta leads to the new archive, whatever has changed', async () => {
  await fc.assert(
    fc.asyncProperty(pair, async ([before, after]) => {
      const delta = await deltaBetween(before, after);
      assert.ok((await apply(before, delta)).equals(after));
    }),
    { numRuns: 150 },
  );
});

test('the same layers give the same bytes, however they are compressed', async () => {
  await fc.assert(
    fc.asyncProperty(pair, async ([before, after]) => {
      const delta = await deltaBetween(before, after);
      assert.ok((await deltaBetween(gzipSync(before), zstdCompressSync(after))).equals(delta));
    }),
    { numRuns: 20 },
  );
});

test(
  "the reference's tar-patch makes the same archive",
  { skip: !hasTarPatch && 'needs tar-patch of containers/tar-diff in PATH' },
  async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-tar-patch-'));
    const place = (name: string): string => join(folder.path, name);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(pair, async ([before, after]) => {
        const files = place(`files${run++}`);
        mkdirSync(files);
        writeFileSync(place('before'), before);
        writeFileSync(place('delta'), await deltaBetween(before, after));
        // Not all entries can be unpacked where one is in another's way.
        spawnSync('tar', ['--extract', '--file', place('before'), '-C', files]);
        execFileSync(TAR_PATCH, [place('delta'), files, place('after')]);
        assert.ok(readFileSync(place('after')).equals(after));
      }),
      { numRuns: 50 },
    );
  },
);

/** The size of the delta between two archives. */
async function deltaSize(old: readonly WrittenEntry[], now: readonly WrittenEntry[]): Promise<number> {
  return (await deltaBetween(tarOf(old), tarOf(now))).length;
}

suite('what a delta is made of', () => {
  const before = noise(1, 200_000);
  for (const [name, old, now] of [
    ['a file that is equal', { path: 'a', content: before }, { path: 'a', content: before }],
    ['a file of another name', { path: 'a', content: before }, { path: 'b/c', content: before }],
    [
      'a file in another folder that has changed',
      { path: 'a/x.dat', content: before },
      { path: 'b/x.dat', content: Buffer.concat([before, before]) },
    ],
    [
      'a file with another version in its name',
      { path: 'libx.so.1', content: before },
      { path: 'libx.so.2', content: before.subarray(100) },
    ],
    [
      'a file in the folder of another version',
      { path: '3.11/x', content: before },
      { path: '3.12/x', content: before.subarray(100) },
    ],
    [
      'a file with an insertion',
      { path: 'a', content: before },
      { path: 'a', content: Buffer.concat([before.subarray(0, 5000), noise(2, 40), before.subarray(5000)]) },
    ],
    [
      'a file whose halves have changed places',
      { path: 'a', content: before },
      { path: 'a', content: Buffer.concat([before.subarray(100_000), before.subarray(0, 100_000)]) },
    ],
    [
      'a program whose addresses have changed',
      { path: 'a', content: before },
      { path: 'a', content: before.map((byte, place) => (place % 16 === 3 ? byte + 4 : byte)) },
    ],
  ] as const)
    test(`${name} needs few bytes`, async () => {
      const bytes = await deltaSize([old], [now]);
      assert.ok(bytes < 1000, `${bytes} bytes`);
    });

  test('a file that was a hard link is found by its path', async () => {
    const link = { path: 'z', type: '1', target: 'a' };
    assert.ok(
      (await deltaSize([{ path: 'a', content: before }, link], [{ path: 'z', content: before.subarray(9) }])) < 1000,
    );
  });

  for (const [name, old] of [
    ['that only its owner may read', [{ path: 'a', content: before, mode: 0o600 }]],
    [
      'that is there twice',
      [
        { path: 'a', content: before },
        { path: './a', content: noise(2, 9) },
      ],
    ],
    [
      'that another path leads through',
      [
        { path: 'a', content: before },
        { path: 'a/b', type: '2' },
      ],
    ],
    [
      'behind a symbolic link',
      [
        { path: 'b', type: '2', target: 'c' },
        { path: 'b/a', content: before },
      ],
    ],
    ['whose path is too long', [{ path: `${'x/'.repeat(2100)}a`, content: before }]],
    ['that is sparse', [{ path: 'a', content: before, pax: { 'GNU.sparse.major': '1' } }]],
    ['whose path is a folder above', [{ path: '..', content: before }]],
  ] as const)
    test(`an old file ${name} is not used`, async () => {
      const delta = await deltaBetween(tarOf(old), tarOf([{ path: 'a', content: before }]));
      assert.ok(delta.length > 190_000);
    });
});

test('a large file is compared piece by piece', async () => {
  const bytes = noise(1, 70 * 1024 * 1024);
  const before = tarOf([{ path: 'a', content: bytes }]);
  const after = tarOf([{ path: 'a', content: Buffer.concat([noise(3, 1000), bytes.subarray(5000)]) }]);
  await using delta = await makeDelta(layerOf(before), layerOf(after), { ...OPTIONS, maxBytes: 2 ** 30 });
  assert.ok(delta.size < 10_000, `${delta.size} bytes`);
});

test('a delta is named by its digest, and those of both archives', async () => {
  const [before, after] = [tarOf([]), tarOf([{ path: 'a', content: noise(1, 5000) }])];
  await using delta = await makeDelta(layerOf(gzipSync(before)), layerOf(gzipSync(after)), OPTIONS);
  const bytes = Buffer.concat(await Array.fromAsync(delta.stream() as AsyncIterable<Buffer>));
  assert.deepEqual(
    [delta.digest, delta.size, delta.from, delta.to, delta.layerSize],
    [digestOf(bytes), bytes.length, digestOf(before), digestOf(after), gzipSync(after).length],
  );
});

test('a layer of several gzip members or zstd frames is read whole', async () => {
  const [before, after] = [tarOf([]), tarOf([{ path: 'a', content: noise(1, 500_000) }])];
  const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  for (const compress of [gzipSync, zstdCompressSync] as readonly ((bytes: Buffer) => Buffer)[]) {
    const parts = [after.subarray(0, 1000), Buffer.alloc(0), after.subarray(1000)].map((part) => compress(part));
    const layer = Buffer.concat(compress === gzipSync ? parts : [skippable, ...parts, skippable]);
    await using delta = await makeDelta(layerOf(before), layerOf(layer, { diffId: digestOf(after) }), OPTIONS);
    assert.equal(delta.to, digestOf(after));
  }
});

test('layers are checked against their digests', async () => {
  const [before, after] = [tarOf([]), tarOf([{ path: 'a' }])];
  const other = digestOf('other');
  const make = (known: object) => makeDelta(layerOf(before), layerOf(gzipSync(after), known), OPTIONS);
  await using delta = await make({ digest: digestOf(gzipSync(after), 'sha512'), diffId: digestOf(after, 'sha512') });
  assert.equal(delta.to, digestOf(after, 'sha512'));
  for (const [known, message] of [
    [{ digest: other }, /^a layer: has the digest sha256:\w+, expected sha256:\w+$/],
    [{ diffId: other }, /^a layer: has the DiffID sha256:\w+, expected sha256:\w+$/],
  ] as const)
    await assert.rejects(make(known), { name: 'DeltaError', code: 'digest-mismatch', message });
});

test('a layer is uncompressed up to a bound', async () => {
  const bomb = gzipSync(Buffer.alloc(OPTIONS.maxBytes + 1));
  await assert.rejects(makeDelta(layerOf(tarOf([])), layerOf(bomb), OPTIONS), {
    name: 'DeltaError',
    code: 'too-large',
    message: /^a layer: uncompressed it has more than 67108864 bytes$/,
  });
});

test('the error of one layer ends the reading of the other', async () => {
  const gone = new Error('the registry does not have it');
  let ended = false;
  const endless = Readable.from(
    (async function* () {
      try {
        for (;;) {
          yield randomBytes(1000);
          await new Promise((resolve) => setImmediate(resolve));
        }
      } finally {
        ended = true;
      }
    })(),
  );
  const failing = { name: 'gone', open: () => Promise.reject(gone) };
  await assert.rejects(makeDelta({ name: 'endless', open: () => endless }, failing, OPTIONS), gone);
  assert.ok(ended);
});

test('an abort ends it, with its reason', async () => {
  const [before, after] = [tarOf([]), tarOf([{ path: 'a', content: noise(1, 3_000_000) }])];
  const reason = new Error('stop');
  await assert.rejects(
    makeDelta(layerOf(before), layerOf(after), { ...OPTIONS, signal: AbortSignal.abort(reason) }),
    reason,
  );
});

test('nothing is left in the folder', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-deltas-'));
  const options = { ...OPTIONS, folder: folder.path };
  {
    await using _ = await makeDelta(layerOf(tarOf([])), layerOf(tarOf([{ path: 'a' }])), options);
    assert.deepEqual(readdirSync(folder.path), []);
  }
  await assert.rejects(makeDelta(layerOf(tarOf([])), layerOf(Buffer.from('x')), options));
  assert.deepEqual(readdirSync(folder.path), []);
});
