/** Contract of every engine's blobs. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test, type TestContext } from 'node:test';
import { digestOf } from '../../src/registry/digest.ts';
import {
  type BlobName,
  type BlobReader,
  type Blobs,
  BlobWriter,
  PIECE_BYTES,
  putBlob,
  readBlob,
} from '../../src/store/blobs.ts';

/** Blobs that are removed after the test. */
export interface BlobsUnderTest {
  /** Opens them; closes those that were opened before. */
  open(): Promise<Blobs>;
  /** Opens a reader beside the writer. */
  openForReading(): Promise<BlobReader>;
  /** Changes some bytes of the piece of a blob while it is open. */
  damage(blob: BlobName, position: number): void | Promise<void>;
}

const NOW = Date.UTC(2026, 0, 1);

function nameOf(content: Uint8Array, kind: BlobName['kind'] = 'delta'): BlobName {
  return { kind, digest: digestOf(content) };
}

async function read(blobs: BlobReader, blob: BlobName, start: number, end: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of readBlob(blobs, blob, start, end)) parts.push(part);
  return Buffer.concat(parts);
}

/** Cuts content into parts whose lengths have nothing to do with pieces. */
function* cut(content: Buffer): Generator<Buffer> {
  for (let start = 0; start < content.length; start += 300_001) yield content.subarray(start, start + 300_001);
}

async function put(blobs: Blobs, content: Buffer, kind?: BlobName['kind']): Promise<BlobName> {
  const blob = nameOf(content, kind);
  await putBlob(blobs, blob, cut(content));
  return blob;
}

/** Removes deltas that have not been used for a second. */
function clean(blobs: Blobs, now: number, ...named: readonly BlobName[]): Promise<void> {
  return blobs.clean({
    kind: 'delta',
    named: (digest) => named.some((blob) => blob.digest === digest),
    before: now - 1000,
    now,
  });
}

export function blobsContract(create: (t: TestContext) => BlobsUnderTest): void {
  for (const length of [0, 1, PIECE_BYTES, 2 * PIECE_BYTES + 12_345])
    test(`one of ${length} bytes comes back, whole and in ranges, also when it is opened again`, async (t) => {
      const under = create(t);
      const content = randomBytes(length);
      const blob = await put(await under.open(), content);
      for (const blobs of [await under.open(), await under.openForReading()]) {
        assert.equal(await blobs.size(blob), length);
        assert.ok((await read(blobs, blob, 0, length - 1)).equals(content));
        for (const [start, end] of [
          [0, 0],
          [length - 1, length - 1],
          [PIECE_BYTES - 1, PIECE_BYTES],
          [PIECE_BYTES, 2 * PIECE_BYTES],
          [7, length - 3],
        ] as const)
          if (start >= 0 && start <= end && end < length)
            assert.ok((await read(blobs, blob, start, end)).equals(content.subarray(start, end + 1)));
      }
    });

  test('one is not there until it is whole, and not if its content has another digest', async (t) => {
    const blobs = await create(t).open();
    const content = randomBytes(PIECE_BYTES + 10);
    const blob = nameOf(content);
    const writer = new BlobWriter(blobs, blob);
    await writer.add(content.subarray(0, PIECE_BYTES + 5));
    assert.equal(await blobs.size(blob), undefined);
    await assert.rejects(writer.end(), /^Error: the delta sha256:[0-9a-f]+ has the digest sha256:[0-9a-f]+$/);
    assert.equal(await blobs.size(blob), undefined);
    await put(blobs, content);
    assert.ok((await read(blobs, blob, 0, content.length - 1)).equals(content));
  });

  test('one of which a piece is missing cannot be completed', async (t) => {
    const blobs = await create(t).open();
    const blob = nameOf(randomBytes(10));
    await blobs.putPiece(blob, 1, randomBytes(10), NOW);
    for (const size of [9, PIECE_BYTES + 10])
      await assert.rejects(blobs.complete(blob, size), { name: 'BlobMissing', blob });
    assert.equal(await blobs.size(blob), undefined);
  });

  test('kinds are apart, each with the size of all that is whole', async (t) => {
    const blobs = await create(t).open();
    const [one, two] = [randomBytes(1000), randomBytes(500)];
    for (let time = 0; time < 2; time++) await put(blobs, one);
    await put(blobs, two);
    await blobs.putPiece(nameOf(randomBytes(10)), 0, randomBytes(10), NOW);
    const other = await put(blobs, two, 'screenshot');
    assert.deepEqual(await Promise.all(['delta', 'screenshot', 'delta-manifest'].map(storedIn(blobs))), [1500, 500, 0]);
    await blobs.remove(nameOf(two));
    assert.deepEqual([await blobs.size(nameOf(two)), await blobs.size(other)], [undefined, 500]);
    assert.equal(await blobs.stored('delta'), 1000);
    assert.equal((await blobs.whole('delta')).size, 1);
  });

  test('one that is stored again is not read again', async (t) => {
    const blobs = await create(t).open();
    const blob = await put(blobs, randomBytes(10));
    await putBlob(blobs, blob, {
      [Symbol.iterator]: () => assert.fail(),
    });
  });

  suite('cleaning', () => {
    test('one that is not in use stays until its time is over, from when that was first seen', async (t) => {
      const blobs = await create(t).open();
      const [used, unused] = [
        await put(blobs, randomBytes(3 * PIECE_BYTES)),
        await put(blobs, randomBytes(PIECE_BYTES + 1)),
      ];
      const other = await put(blobs, randomBytes(7), 'screenshot');
      await clean(blobs, NOW, used);
      await clean(blobs, NOW + 1000, used);
      assert.equal(await blobs.size(unused), PIECE_BYTES + 1);
      await clean(blobs, NOW + 1001, used);
      assert.deepEqual(
        [await blobs.size(unused), await blobs.piece(unused, 0), await blobs.piece(unused, 1)],
        [undefined, undefined, undefined],
      );
      assert.deepEqual([await blobs.size(used), await blobs.size(other)], [3 * PIECE_BYTES, 7]);
    });

    test('one that is used or stored again in the meantime stays, and its time restarts', async (t) => {
      const blobs = await create(t).open();
      const content = randomBytes(10);
      const [one, two] = [await put(blobs, content), await put(blobs, randomBytes(20))];
      await clean(blobs, NOW);
      await clean(blobs, NOW + 900, two);
      await put(blobs, content);
      await clean(blobs, NOW + 1100);
      await clean(blobs, NOW + 2100);
      assert.deepEqual([await blobs.size(one), await blobs.size(two)], [10, 20]);
      await clean(blobs, NOW + 2101);
      assert.deepEqual([await blobs.size(one), await blobs.size(two)], [undefined, undefined]);
    });

    test('what was begun and never completed goes, too, in use or not', async (t) => {
      const blobs = await create(t).open();
      const content = randomBytes(10);
      const blob = nameOf(content);
      await blobs.putPiece(blob, 0, content, NOW);
      await clean(blobs, NOW + 1000, blob);
      assert.deepEqual(await blobs.piece(blob, 0), content);
      await blobs.putPiece(blob, 1, content, NOW + 900);
      await clean(blobs, NOW + 1900, blob);
      assert.deepEqual(await blobs.piece(blob, 0), content);
      await clean(blobs, NOW + 1901, blob);
      assert.equal(await blobs.piece(blob, 0), undefined);
    });
  });

  test('damage on disk is never returned', async (t) => {
    const under = create(t);
    const blobs = await under.open();
    const content = randomBytes(PIECE_BYTES + 10);
    const blob = await put(blobs, content);
    await under.damage(blob, 1);
    for (const reader of [blobs, await under.openForReading()]) {
      assert.equal(await reader.piece(blob, 1), undefined);
      assert.ok((await read(reader, blob, 0, 10)).equals(content.subarray(0, 11)));
      await assert.rejects(read(reader, blob, 0, content.length - 1), { name: 'BlobMissing', blob });
    }
    await blobs.remove(blob);
    await put(blobs, content);
    assert.ok((await read(blobs, blob, 0, content.length - 1)).equals(content));
  });
}

function storedIn(blobs: Blobs): (kind: string) => Promise<number> {
  return (kind) => blobs.stored(kind as BlobName['kind']);
}
