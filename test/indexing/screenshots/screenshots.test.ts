import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NamedImage } from '../../../src/indexing/appdata/appdata.ts';
import { shownScreenshots, urlsOf } from '../../../src/indexing/screenshots/screenshots.ts';
import { digestOf } from '../../../src/registry/digest.ts';

function image(width: number, kind: NamedImage['kind'] = 'thumbnail'): NamedImage {
  return { kind, url: `https://example.org/${width}.png`, width, height: Math.round(width / 2) };
}

const THUMBNAILS = [112, 224, 624, 752, 1248].map((width) => image(width));

function chosen(...images: readonly NamedImage[]): readonly number[] {
  return urlsOf([{ caption: '', images }]).map((url) => Number(/\d+/.exec(url)?.[0]));
}

test('of each screenshot, one image for a row and one for the whole screen are chosen', () => {
  assert.deepEqual(chosen(image(1600, 'source'), ...THUMBNAILS), [624, 1600]);
  assert.deepEqual(chosen(image(3840, 'source'), ...THUMBNAILS), [624, 1248]);
  assert.deepEqual(chosen(image(0, 'source')), [0]);
  assert.deepEqual(chosen(image(0, 'source'), ...THUMBNAILS), [624, 1248]);
  assert.deepEqual(chosen(image(4000, 'source')), [4000]);
  assert.deepEqual(chosen(image(300)), [300]);
});

test('they are shown from here, from where they are, or not', () => {
  const named = [
    { caption: 'One', images: [image(1600, 'source'), image(624)] },
    { caption: 'Two', images: [image(700)] },
  ];
  const digest = digestOf('picture');
  const kept = { 'https://example.org/624.png': { digest, type: 'webp', width: 624, height: 350 } } as const;
  const hex = digest.slice('sha256:'.length);
  assert.deepEqual(shownScreenshots(named, 'proxy', kept), [
    {
      caption: 'One',
      images: [
        {
          kind: 'thumbnail',
          src: `../../screenshots/${hex.slice(0, 2)}/${hex.slice(2)}.webp`,
          width: 624,
          height: 350,
        },
      ],
    },
    undefined,
  ]);
  assert.deepEqual(
    shownScreenshots(named, 'link', {}).map((one) => one?.images.map(({ src }) => src)),
    [['https://example.org/624.png', 'https://example.org/1600.png'], ['https://example.org/700.png']],
  );
  assert.deepEqual(shownScreenshots(named, 'off', kept), [undefined, undefined]);
  const many = Array.from({ length: 15 }, () => named[1] as (typeof named)[1]);
  assert.equal(shownScreenshots(many, 'link', {}).filter((one) => one !== undefined).length, 10);
});
