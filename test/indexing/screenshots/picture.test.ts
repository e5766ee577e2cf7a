import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assert as check, property, uint8Array } from 'fast-check';
import { parsePicturePath, picturePath, readPicture } from '../../../src/indexing/screenshots/picture.ts';
import { digestOf } from '../../../src/registry/digest.ts';
import { jpegPicture, pngPicture, webpPicture } from '../../sources/pictures.ts';

test('PNG, JPEG and WebP are known by their bytes, with their sizes', () => {
  assert.deepEqual(readPicture(pngPicture(1600, 900)), { type: 'png', width: 1600, height: 900 });
  assert.deepEqual(readPicture(jpegPicture(752, 423)), { type: 'jpg', width: 752, height: 423 });
  assert.deepEqual(readPicture(webpPicture(624, 351)), { type: 'webp', width: 624, height: 351 });
});

test('anything else is refused: other types, damaged headers, too many pixels', () => {
  for (const other of ['<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>', 'GIF89a', '<html>', ''])
    assert.throws(() => readPicture(Buffer.from(other)), /no PNG, JPEG or WebP/, other);
  for (const cut of [
    pngPicture(10, 10).subarray(0, 18),
    jpegPicture(10, 10).subarray(0, 12),
    webpPicture(1, 1).subarray(0, 20),
  ])
    assert.throws(() => readPicture(cut), Error);
  assert.throws(() => readPicture(pngPicture(0, 10)), /damaged/);
  assert.throws(() => readPicture(pngPicture(20_000, 10)), /20000 × 10 pixels/);
  assert.throws(() => readPicture(pngPicture(9_000, 9_000)), /9000 × 9000 pixels/);
});

test('random bytes behind the signature of a picture end with a result or an error', () => {
  const signatures = [pngPicture(1, 1), jpegPicture(1, 1), webpPicture(1, 1)].map((picture) => picture.subarray(0, 16));
  check(
    property(uint8Array({ maxLength: 300 }), (bytes) => {
      for (const signature of signatures) {
        try {
          const { width, height } = readPicture(Buffer.concat([signature, bytes]));
          assert.ok(width > 0 && height > 0 && width <= 10_000 && height <= 10_000);
        } catch (error) {
          assert.ok(error instanceof Error);
          assert.match(error.message, /^its header is damaged|^it is no |^it has /);
        }
      }
    }),
  );
});

test('the path of a picture says its digest and type, and no other path does', () => {
  const digest = digestOf('picture');
  assert.deepEqual(parsePicturePath(picturePath(digest, 'webp')), { digest, type: 'webp' });
  for (const path of [
    '',
    'ab/cd.png',
    picturePath(digest, 'png').replace('png', 'svg'),
    `../${picturePath(digest, 'png')}`,
  ])
    assert.equal(parsePicturePath(path), undefined, path);
});
