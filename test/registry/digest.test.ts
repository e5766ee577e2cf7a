import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { digestAlgorithm, digestOf, isDigest, matchesDigest } from '../../src/registry/digest.ts';

const EMPTY = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

test('digests that can be verified are sha256 and sha512, in lower case', () => {
  assert.ok(isDigest(EMPTY));
  assert.ok(isDigest(`sha512:${'0'.repeat(128)}`));
  const wrong = [
    '',
    'sha256:',
    EMPTY.toUpperCase(),
    EMPTY.slice(0, -1),
    `${EMPTY}0`,
    `${EMPTY}\n`,
    ` ${EMPTY}`,
    EMPTY.replace('sha256', 'sha512'),
    EMPTY.replace('sha256', 'md5'),
    EMPTY.slice(7),
    `sha256:${'g'.repeat(64)}`,
    7,
    null,
    undefined,
    [EMPTY],
  ];
  for (const digest of wrong) assert.ok(!isDigest(digest), String(digest));
});

test('content has the digest that it has', () => {
  assert.equal(digestOf(''), EMPTY);
  fc.assert(
    fc.property(fc.uint8Array(), fc.constantFrom('sha256', 'sha512'), fc.nat(255), (content, algorithm, byte) => {
      const digest = digestOf(content, algorithm);
      assert.ok(isDigest(digest) && digestAlgorithm(digest) === algorithm && matchesDigest(content, digest));
      assert.ok(!matchesDigest(Uint8Array.of(...content, byte), digest));
    }),
  );
});

test('whatever comes, a text is a digest or none', () => {
  const text = fc.oneof(
    fc.string(),
    fc.anything(),
    fc
      .tuple(
        fc.constantFrom('sha256', 'sha512', 'SHA256', 'md5', ''),
        fc.constantFrom(':', '', '-'),
        fc.stringMatching(/^[0-9a-fA-F]{0,130}$/),
      )
      .map((parts) => parts.join('')),
  );
  fc.assert(fc.property(text, (value) => !isDigest(value) || /^sha(256:.{64}|512:.{128})$/.test(value)));
});
