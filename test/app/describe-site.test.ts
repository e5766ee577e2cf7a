import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unarmored } from '../../src/app/describe-site.ts';

const KEY = Buffer.from([0x98, 0x33, 0x04, 0x00, 0xff, 0x0a, 0x2d, 0x2d, 0x2d, 0x2d, 0x2d]);

test('a key is given in base64, whether its file is binary or armored', () => {
  const armored = (head: string, end: string): Buffer =>
    Buffer.from(
      `-----BEGIN PGP PUBLIC KEY BLOCK-----\n${head}\n${KEY.toString('base64').replace(/.{8}/g, '$&\n')}\n${end}-----END PGP PUBLIC KEY BLOCK-----\n`,
    );
  assert.equal(unarmored(KEY), KEY.toString('base64'));
  assert.equal(unarmored(armored('', '')), KEY.toString('base64'));
  assert.equal(unarmored(armored('Comment: a key\nVersion: 1\n', '=abcd\n')), KEY.toString('base64'));
});
