/** Tests of `regindexer deltas` as a program. */
import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { digestOf } from '../../src/registry/digest.ts';
import { noise } from '../deltas/layers.ts';
import { tarOf } from '../deltas/write-tar.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { runRegindexer } from '../peers/regindexer.ts';
import { writeBlob, writeIndex, writeLayout, CONFIG, MANIFEST } from '../registry/layout/write-layout.ts';

const SAMPLES = `oci:${join(SAMPLE_IMAGES, 'apps')}`;
const BEFORE = tarOf([{ path: 'a', content: noise(1, 50_000) }]);
const AFTER = tarOf([{ path: 'a', content: noise(1, 50_000).subarray(10) }]);

test('it makes the delta between two files, and applies it', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-deltas-'));
  const [old, now, delta, made] = ['old', 'new', 'delta', 'made'].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
    string,
  ];
  await writeFile(old, gzipSync(BEFORE));
  await writeFile(now, gzipSync(AFTER));

  const making = await runRegindexer(['deltas', old, now, delta]);
  assert.deepEqual([making.code, making.stderr], [0, '']);
  const [, bytes = '', percent = ''] =
    /^[^\n]*delta: (\d+) bytes, ([\d.]+) % of the layer's \d+, \d+\.\d\d s\n/.exec(making.stdout) ?? [];
  assert.equal((await readFile(delta)).length, Number(bytes), making.stdout);
  assert.ok(Number(percent) < 2, percent);
  assert.ok(making.stdout.endsWith(`\nfrom ${digestOf(BEFORE)}\nto ${digestOf(AFTER)}\n`));

  const applying = await runRegindexer(['deltas', '--apply', old, delta, made]);
  assert.deepEqual([applying.code, applying.stderr], [0, '']);
  assert.match(applying.stdout, new RegExp(`made: ${AFTER.length} bytes, ${digestOf(AFTER)}, \\d+\\.\\d\\d s\n$`));
  assert.ok((await readFile(made)).equals(AFTER));
  assert.deepEqual((await readdir(folder.path)).toSorted(), ['delta', 'made', 'new', 'old']);
});

test('it makes the delta between two images of layouts, by tag or digest', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-deltas-'));
  const out = join(folder.path, 'delta');
  const { manifests } = JSON.parse(await readFile(join(SAMPLE_IMAGES, 'apps/hello/index.json'), 'utf8')) as {
    manifests: readonly [{ digest: string }];
  };
  const runs = await Promise.all(
    ['', ':latest', `@${manifests[0].digest}`].map((which, position) =>
      runRegindexer(['deltas', `${SAMPLES}/clock`, `${SAMPLES}/hello${which}`, `${out}${position}`]),
    ),
  );
  for (const { code, stderr } of runs) assert.deepEqual([code, stderr], [0, '']);
  assert.equal(new Set(runs.map(({ stdout }) => stdout.slice(stdout.indexOf('\n')))).size, 1);
  assert.ok((await readFile(`${out}0`)).equals(await readFile(`${out}2`)));
});

test('it says what is wrong, and leaves the file as it was', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-deltas-'));
  const place = (name: string): string => join(folder.path, name);
  await writeFile(place('layer'), BEFORE);
  await writeFile(place('text'), 'text'.repeat(200));
  await writeFile(place('gzip'), gzipSync(BEFORE).subarray(0, 1000));
  await writeFile(place('out'), 'unchanged');
  await mkdir(place('folder'));
  await writeLayout(place('several'), [{ architecture: 'amd64' }, { architecture: 'arm64' }]);
  await writeLayout(place('none'));
  const config = await writeBlob(place('empty'), '{"rootfs": {"type": "layers", "diff_ids": []}}');
  const manifest = await writeBlob(
    place('empty'),
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: CONFIG, digest: config, size: 1 },
      layers: [],
    }),
  );
  await writeIndex(place('empty'), [['latest', { mediaType: MANIFEST, digest: manifest, size: 1 }]]);

  for (const [args, message] of [
    [['nowhere', place('layer')], /^regindexer: .*no such file.*'nowhere'$/m],
    [[place('layer'), place('text')], /^regindexer: \S+text, byte 0: is not the header of an entry of a tar archive$/m],
    [[place('layer'), place('gzip')], /^regindexer: \S+gzip: cannot be uncompressed \(unexpected end of file\)$/m],
    [
      [place('layer'), place('folder')],
      /^regindexer: \S+folder: is a folder; an image layout is named oci:FOLDER:TAG$/m,
    ],
    [[place('layer'), `oci:${place('nowhere')}`], /^regindexer: \S+nowhere: the folder cannot be read; /m],
    [[place('layer'), `oci:${place('several')}:other`], /^regindexer: \S+several: there is no tag "other"$/m],
    [
      [place('layer'), `oci:${place('several')}:-`],
      /^regindexer: \S+: is not oci:FOLDER, oci:FOLDER:TAG or oci:FOLDER@DIGEST$/m,
    ],
    [
      [place('layer'), `oci:${place('several')}`],
      /^regindexer: \S+several: holds 2 images; name one of them: oci:\S+@sha256:\w+, oci:/m,
    ],
    [
      [place('layer'), `oci:${place('empty')}`],
      /^regindexer: \S+empty: has 0 layers, and deltas are for images with one$/m,
    ],
    [['--apply', place('layer'), place('text')], /^regindexer: \S+text: is not a delta$/m],
    [['--apply', place('layer'), 'nowhere'], /^regindexer: [^\n]*no such file[^\n]*'nowhere'$/m],
  ] as const) {
    const { code, stdout, stderr } = await runRegindexer(['deltas', ...args, place('out')]);
    assert.deepEqual([code, stdout], [1, ''], args.join(' '));
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /out could not be written/);
  }
  assert.equal(await readFile(place('out'), 'utf8'), 'unchanged');
  assert.equal((await runRegindexer(['deltas', place('layer')])).code, 2);
  assert.match(
    (await runRegindexer(['deltas', '--help'])).stdout,
    /^Usage: regindexer deltas \[options\] <old> <new> <out>\n/,
  );
});
