/** Snapshots: what was written is read, from memory and from the file, until the last reader is done. */
import assert from 'node:assert/strict';
import { readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { suite, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { Encoding } from '../../../src/indexing/snapshot/encodings.ts';
import { ENCODINGS } from '../../../src/indexing/snapshot/encodings.ts';
import type { Representation } from '../../../src/indexing/snapshot/format.ts';
import { Snapshot, SnapshotError } from '../../../src/indexing/snapshot/snapshot.ts';
import { named, TestState } from '../test-state.ts';

const DECODE: Readonly<Record<Encoding, (bytes: Buffer) => Buffer>> = { identity: (bytes) => bytes, gzip: gunzipSync, br: brotliDecompressSync, zstd: zstdDecompressSync };

async function openState(t: TestContext, images = 3, value = 'value'): Promise<TestState> {
  const state = await TestState.open(t);
  for (let image = 0; image < images; image++) {
    const architecture = image % 2 === 0 ? 'amd64' : 'arm64';
    state.registry.pushIndex(`app-${image}`, 'latest', [state.registry.pushImage(`app-${image}`, undefined, { ...named(String(image), { 'org.flatpak.ref': `app/${image}`, value: value + image }), architecture })]);
  }
  await state.rebuild();
  return state;
}

function wholeOf(snapshot: Snapshot): Representation {
  const whole = snapshot.document('');
  assert.ok(whole);
  return whole.representations.identity;
}

/** Whether this process has the file open. */
async function isOpen(file: string): Promise<boolean> {
  const links = await Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return links.some((link) => link.startsWith(file));
}

for (const [where, memoryLimit] of [['memory', undefined], ['the file', 0]] as const) {
  test(`all documents are there in their encodings, read from ${where}`, async (t) => {
    const state = await openState(t);
    const snapshot = await Snapshot.open(state.snapshotFile(), memoryLimit);
    const documents = Object.entries(snapshot.footer.documents);
    assert.equal(documents.length, 3);
    for (const [canonical, document] of documents) {
      assert.equal(snapshot.document(canonical), document);
      const identity = await snapshot.read(document.representations.identity);
      const { Results } = JSON.parse(identity.toString()) as { Results: unknown[] };
      assert.equal(Results.length, document.images);
      for (const encoding of ENCODINGS) {
        const representation = document.representations[encoding];
        if (representation === undefined) continue;
        const body = await snapshot.read(representation);
        assert.ok(DECODE[encoding](body).equals(identity), encoding);
        assert.ok((await buffer(snapshot.stream(representation))).equals(body));
        assert.equal(snapshot.held(representation)?.equals(body), memoryLimit === undefined ? true : undefined);
        assert.ok(encoding === 'identity' || body.length < identity.length);
      }
    }
    assert.equal(snapshot.document('tag=other'), undefined);
    assert.equal(snapshot.document('toString'), undefined);
    assert.equal((await snapshot.table()).size, 3);
    await snapshot.close();
  });
}

test('an encoding that would not be smaller is not kept', async (t) => {
  const state = await TestState.open(t);
  await state.rebuild();
  const { documents } = await state.footer();
  const { identity, ...others } = documents['']?.representations ?? {};
  assert.ok(identity);
  for (const { length } of Object.values(others)) assert.ok(length < identity.length);
});

test('a document that is too large for memory comes out the same in every encoding, each time', async (t) => {
  const first = await openState(t, 18, 'x'.repeat(1024 * 1024));
  const second = await openState(t, 18, 'x'.repeat(1024 * 1024));
  const text = await first.text();
  assert.ok(text.length > 18 * 1024 * 1024);
  await first.withSnapshot(async (snapshot) => {
    for (const encoding of ENCODINGS) {
      const representation = snapshot.document('')?.representations[encoding];
      assert.ok(representation);
      assert.equal(DECODE[encoding](await snapshot.read(representation)).toString(), text);
      assert.equal(representation.etag, (await second.footer()).documents['']?.representations[encoding]?.etag);
    }
  });
});

suite('readers', () => {
  test('a snapshot is read on while a newer one is in its place, and after it was closed, until they are done', async (t) => {
    const state = await openState(t, 3, 'x'.repeat(400_000));
    const text = await state.text();
    const snapshot = await Snapshot.open(state.snapshotFile(), 0);
    const stream = snapshot.stream(wholeOf(snapshot));
    const read = snapshot.read(wholeOf(snapshot));
    state.registry.pushImage('new', 'latest', named('new'));
    await state.rebuild();
    await snapshot.close();
    assert.equal((await buffer(stream)).toString(), text);
    assert.equal((await read).toString(), text);
    assert.notEqual(await state.text(), text);
    await assert.rejects(() => snapshot.read(wholeOf(snapshot)), SnapshotError);
    assert.throws(() => snapshot.stream(wholeOf(snapshot)), SnapshotError);
  });

  test('the file is closed when all are done, whether they read to the end or not', async (t) => {
    const state = await openState(t, 3, 'x'.repeat(400_000));
    const snapshot = await Snapshot.open(state.snapshotFile(), 0);
    assert.ok(await isOpen(state.snapshotFile()));
    await buffer(snapshot.stream(wholeOf(snapshot)));
    const abandoned = snapshot.stream(wholeOf(snapshot));
    await snapshot.read(wholeOf(snapshot));
    await snapshot.close();
    assert.ok(await isOpen(state.snapshotFile()));
    abandoned.destroy();
    while (await isOpen(state.snapshotFile())) await setImmediate();
  });

  test('many readers leave nothing behind on the file that they share', async (t) => {
    const state = await openState(t);
    const warnings: string[] = [];
    const onWarning = ({ message }: Error): void => void warnings.push(message);
    process.on('warning', onWarning);
    t.after(() => process.off('warning', onWarning));
    const snapshot = await Snapshot.open(state.snapshotFile(), 0);
    for (let reader = 0; reader < 50; reader++) await buffer(snapshot.stream(wholeOf(snapshot)));
    await snapshot.close();
    await setImmediate();
    assert.deepEqual(warnings, []);
    assert.ok(!(await isOpen(state.snapshotFile())));
  });

  test('one that is held in memory leaves its file closed', async (t) => {
    const state = await openState(t);
    const snapshot = await Snapshot.open(state.snapshotFile());
    assert.ok(!(await isOpen(state.snapshotFile())));
    await rm(state.snapshotFile());
    assert.equal((await snapshot.read(wholeOf(snapshot))).length, wholeOf(snapshot).length);
    await snapshot.close();
  });

  for (const [where, memoryLimit] of [['memory', undefined], ['the file', 0]] as const) {
    test(`a shared one is read from the same ${where}`, async (t) => {
      const state = await openState(t);
      const snapshot = await Snapshot.open(state.snapshotFile(), memoryLimit);
      const shared = await Snapshot.openShared(structuredClone(snapshot.share()));
      assert.deepEqual(shared.footer, snapshot.footer);
      assert.deepEqual(await shared.read(wholeOf(shared)), await snapshot.read(wholeOf(snapshot)));
      const [one, other] = [shared.held(wholeOf(shared)), snapshot.held(wholeOf(snapshot))];
      assert.equal(one?.buffer instanceof SharedArrayBuffer, memoryLimit === undefined);
      assert.equal(one === undefined, other === undefined);
      await snapshot.close();
      assert.equal((await shared.table()).size, 3);
      await shared.close();
    });
  }
});

suite('files that are no whole snapshots', () => {
  const harms: Readonly<Record<string, readonly [make: (bytes: Buffer) => Buffer, message: RegExp]>> = {
    'an empty one': [() => Buffer.alloc(0), /it has 0 bytes/],
    'one that is cut off': [(bytes) => bytes.subarray(0, -1), /it is cut off, or of another version/],
    'one with a changed footer': [(bytes) => changed(bytes, bytes.length - 60), /its footer is not what was written/],
    'one with a footer that is too long': [(bytes) => changed(bytes, bytes.length - 12), /its footer is longer than the file/],
    'another version': [(bytes) => changed(bytes, bytes.length - 1), /of another version/],
  };
  for (const [harm, [make, message]] of Object.entries(harms)) {
    test(harm, async (t) => {
      const state = await openState(t);
      const file = state.snapshotFile();
      await writeFile(file, make(await readFile(file)));
      await assert.rejects(Snapshot.open(file), (error) => error instanceof SnapshotError && error.message.startsWith(`${file} is no whole snapshot: `) && message.test(error.message));
      assert.ok(!(await isOpen(file)));
    });
  }

  test('none at all', async (t) => {
    const state = await TestState.open(t);
    await assert.rejects(Snapshot.open(state.snapshotFile()), { code: 'ENOENT' });
  });
});

function changed(bytes: Buffer, position: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[position] = (copy[position] ?? 0) ^ 0xff;
  return copy;
}
