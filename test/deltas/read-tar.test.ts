import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, openSync, closeSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TarEntry } from '../../src/deltas/read-tar.ts';
import { entriesOf } from './layers.ts';
import { extended, tarOf, withChecksum } from './write-tar.ts';

const BLOCK = 512;
const LONG = `${'long/'.repeat(40)}name`;

/** The entries with their content, by their paths. */
async function filesIn(archive: Buffer): Promise<Record<string, string>> {
  const contents = (await entriesOf(archive)).map(
    ({ path, kind, target, position, size }) =>
      [
        Buffer.from(path, 'latin1').toString(),
        kind === 'file' ? archive.toString('utf8', position, position + size) : kind === 'link' ? `→ ${target}` : kind,
      ] as const,
  );
  return Object.fromEntries(contents);
}

const isDamaged = (message: RegExp) => ({ name: 'DeltaError', code: 'damaged', message });

for (const format of ['v7', 'oldgnu', 'gnu', 'ustar', 'posix']) {
  test(`an archive of GNU tar in the format ${format} is read`, async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-tar-'));
    const path = (name: string): string => join(folder.path, name);
    mkdirSync(path('files/empty'), { recursive: true });
    writeFileSync(path('files/a'), 'one');
    writeFileSync(path('files/ä'), 'two');
    writeFileSync(path('files/none'), '');
    linkSync(path('files/a'), path('files/z'));
    symlinkSync('a', path('files/symbolic'));
    const expected: Record<string, string> = {
      files: 'folder',
      'files/a': 'one',
      'files/empty': 'folder',
      'files/none': '',
      'files/symbolic': 'other',
      'files/z': '→ files/a',
      'files/ä': 'two',
    };
    if (format !== 'v7') {
      // Fits into the prefix of ustar.
      const long = `files/${'deep/'.repeat(20)}${'n'.repeat(90)}`;
      mkdirSync(path(join(long, '..')), { recursive: true });
      writeFileSync(path(long), 'deep');
      for (let depth = 0; depth < 20; depth++) expected[`files${'/deep'.repeat(depth + 1)}`] = 'folder';
      expected[long] = 'deep';
    }
    const isSparse = ['oldgnu', 'gnu', 'posix'].includes(format);
    if (isSparse) {
      const longest = `files/${'x'.repeat(200)}`;
      writeFileSync(path(longest), 'longest');
      linkSync(path(longest), path(`${longest}y`));
      const sparse = openSync(path('files/sparse'), 'w');
      for (let hole = 0; hole < 40; hole++) writeSync(sparse, 'data', hole * 65536);
      closeSync(sparse);
      Object.assign(expected, {
        [longest]: 'longest',
        [`${longest}y`]: `→ ${longest}`,
        'files/sparse': 'other',
      });
    }
    const options = [`--format=${format}`, '--sort=name', ...(isSparse ? ['--sparse'] : [])];
    const archive = execFileSync('tar', ['--create', ...options, '-C', folder.path, 'files'], { maxBuffer: 2 ** 26 });
    assert.deepEqual(await filesIn(archive), expected);
  });
}

test('long paths and targets stand in PAX records, GNU entries or the prefix', async () => {
  for (const long of ['pax', 'gnu'] as const) {
    const archive = tarOf([
      { path: LONG, content: Buffer.from('file'), long },
      { path: 'link', type: '1', target: LONG, long },
      { path: 'short', content: Buffer.from('short') },
    ]);
    assert.deepEqual(await filesIn(archive), { [LONG]: 'file', link: `→ ${LONG}`, short: 'short' });
  }
  const path = `${'p'.repeat(120)}/${'n'.repeat(90)}`;
  assert.deepEqual(await filesIn(tarOf([{ path, content: Buffer.from('x'), long: 'prefix' }])), { [path]: 'x' });
});

test('paths are relative to the root, whatever they say', async () => {
  const paths = ['./a', '/b', 'c/../d', '../../e', 'f//g/.', '.', '..', './'];
  const entries = await entriesOf(tarOf(paths.map((path) => ({ path, content: Buffer.from('x') }))));
  assert.deepEqual(
    entries.map(({ path }) => path),
    ['a', 'b', 'd', 'e', 'f/g', '', '', ''],
  );
});

test('sizes are octal, binary, or in a PAX record', async () => {
  const binary = Buffer.alloc(12);
  binary[0] = 0x80;
  binary[11] = 5;
  for (const entry of [{ size: binary }, { size: Buffer.from('     5 \0    ') }, { size: 0, pax: { size: '5' } }]) {
    const archive = tarOf([{ path: 'a', content: Buffer.from('12345'), ...entry }, { path: 'b' }]);
    assert.deepEqual(await filesIn(archive), { a: '12345', b: '' });
  }
});

test('a link, a folder and a device have no content, whatever size they claim', async () => {
  const entries = ['1', '2', '3', '4', '5', '6'].map((type) => ({ path: `type${type}`, type, size: 100_000 }));
  assert.equal((await entriesOf(tarOf([...entries, { path: 'last' }]))).length, 7);
});

/** How an entry is read that is a regular file but for this. */
async function kindOf(entry: object): Promise<TarEntry['kind'] | undefined> {
  return (await entriesOf(tarOf([{ path: 'a', content: Buffer.from('x'), ...entry }])))[0]?.kind;
}

test('what is no regular file is told apart', async () => {
  assert.equal(await kindOf({}), 'file');
  assert.equal(await kindOf({ type: '7' }), 'file');
  assert.equal(await kindOf({ type: '\0' }), 'file');
  assert.equal(await kindOf({ type: '\0', path: 'folder/' }), 'folder');
  assert.equal(await kindOf({ type: '5', content: Buffer.alloc(0) }), 'folder');
  assert.equal(await kindOf({ type: 'D' }), 'other');
  assert.equal(await kindOf({ pax: { 'GNU.sparse.major': '1' } }), 'other');
});

test('an archive ends at an empty block, or without one', async () => {
  const archive = tarOf([{ path: 'a', content: Buffer.from('x') }]);
  assert.equal((await entriesOf(archive.subarray(0, 2 * BLOCK))).length, 1);
  assert.equal((await entriesOf(archive.subarray(0, BLOCK + 1))).length, 1);
  assert.equal((await entriesOf(Buffer.concat([archive, archive]))).length, 1);
  assert.equal((await entriesOf(Buffer.alloc(0))).length, 0);
});

test('signed checksums are right, too', async () => {
  const archive = tarOf([{ path: 'ä', content: Buffer.from('x') }]);
  const sum = archive.subarray(0, BLOCK).reduce((all, byte, place) => {
    const value = place >= 148 && place < 156 ? 0x20 : byte;
    return all + (value < 0x80 ? value : value - 0x100);
  }, 0);
  archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  assert.equal((await entriesOf(archive)).length, 1);
});

test('a damaged archive is an error that says where', async () => {
  const archive = tarOf([
    { path: 'a', content: Buffer.alloc(1000, 'a') },
    { path: LONG, content: Buffer.from('b') },
  ]);
  await assert.rejects(entriesOf(archive.subarray(0, 1000)), isDamaged(/^a layer: ends early$/));
  await assert.rejects(entriesOf(archive.subarray(0, 3 * BLOCK + 5)), isDamaged(/^a layer: ends early$/));
  const changed = Buffer.from(archive);
  changed[3 * BLOCK] = 0x42;
  await assert.rejects(entriesOf(changed), isDamaged(/^a layer, byte 1536: is not the header of an entry/));
  await assert.rejects(entriesOf(Buffer.alloc(5000, 'x')), isDamaged(/^a layer, byte 0: /));
  const number = withChecksum(Buffer.from(archive.subarray(0, BLOCK)));
  number.write('9', 124);
  await assert.rejects(entriesOf(withChecksum(number)), isDamaged(/^a layer, byte 0: .* number/));
});

test('a header that claims too much is an error, without memory for it', async () => {
  const huge = Buffer.alloc(12, 0xff);
  huge[0] = 0x80;
  for (const entry of [
    { path: 'a', size: 2 ** 33 - 1 },
    { path: 'a', size: huge },
    { path: 'a', type: 'x', size: 2 ** 33 - 1 },
    { path: 'a', pax: { size: '9'.repeat(30) } },
    { path: 'a', pax: { size: '-1' } },
    { path: 'a', pax: { size: String(2 ** 52) } },
  ])
    await assert.rejects(entriesOf(tarOf([entry])), { name: 'DeltaError', code: 'damaged' });
  const extension = { path: 'x', type: 'x', content: Buffer.alloc(2 ** 20 + 1) };
  await assert.rejects(entriesOf(tarOf([extension])), isDamaged(/extended header of 1048577 bytes/));
  for (const content of ['x', '99 path=a\n', '10 path=ab\n', '0 a=b\n', '8 path\n\n'])
    await assert.rejects(
      entriesOf(tarOf([{ path: 'x', type: 'x', content: Buffer.from(content) }])),
      isDamaged(/extended header/),
    );
});

test('a global header may comment, and not move entries', async () => {
  const file = tarOf([{ path: 'a' }]);
  const comment = Buffer.concat([...extended('g', { comment: 'x' }), file]);
  assert.equal((await entriesOf(comment)).length, 1);
  for (const key of ['path', 'linkpath', 'size'])
    await assert.rejects(entriesOf(Buffer.concat([...extended('g', { [key]: '1' }), file])), {
      name: 'DeltaError',
      code: 'unsupported',
    });
});
