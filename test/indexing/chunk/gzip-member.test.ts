import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { suite, test } from 'node:test';
import { crc32, gunzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { combineCrc32 } from '../../../src/indexing/chunk/crc32-combine.ts';
import { deflate, gzipMember, inflate, stored, type Deflated } from '../../../src/indexing/chunk/gzip-member.ts';

async function memberOf(parts: readonly Deflated[]): Promise<Buffer> {
  return Buffer.concat(await Promise.all(gzipMember(parts).map(async ({ bytes }) => bytes())));
}

suite('one gzip member of parts', () => {
  test('it holds all of them in their order, and nothing follows it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.string({ maxLength: 300 }), fc.boolean(), fc.integer({ min: 1, max: 9 }))),
        async (texts) => {
          const parts = await Promise.all(
            texts.map(async ([text, asItIs, level]) => (asItIs ? stored(text) : deflate(Buffer.from(text), level))),
          );
          const member = await memberOf(parts);
          assert.equal(gunzipSync(member).toString(), texts.map(([text]) => text).join(''));
          assert.equal(
            member.length,
            gzipMember(parts).reduce((sum, { size }) => sum + size, 0),
          );
        },
      ),
    );
  });

  test('gzip reads it, also with a text longer than a stored block', async () => {
    const long = 'é'.repeat(70_000);
    const member = await memberOf([
      stored('{"a":'),
      await deflate(Buffer.from(`"${'x'.repeat(100_000)}"`), 6),
      stored(','),
      await deflate(Buffer.alloc(0), 6),
      stored(long),
    ]);
    const { status, stdout, stderr } = spawnSync('gzip', ['--decompress', '--stdout'], {
      input: member,
      maxBuffer: 1024 * 1024,
    });
    assert.equal(stderr.toString(), '');
    assert.equal(status, 0);
    assert.equal(stdout.toString(), `{"a":"${'x'.repeat(100_000)}",${long}`);
  });

  test('a part gives its bytes back', async () => {
    for (const text of ['', 'a', 'text '.repeat(50_000)])
      assert.equal((await inflate(await deflate(Buffer.from(text), 6))).toString(), text);
  });

  test('no parts give an empty member', async () => {
    assert.equal(gunzipSync(await memberOf([])).length, 0);
  });
});

suite('the CRC-32 of two texts', () => {
  test('is that of both behind one another', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), fc.uint8Array({ maxLength: 500 }), (a, b) => {
        assert.equal(combineCrc32(crc32(a), crc32(b), b.length), crc32(Buffer.concat([a, b])));
      }),
    );
  });

  test('is right where the second is longer than 4 GiB', () => {
    assert.equal(zeros(20), crc32(Buffer.alloc(2 ** 20)));
    const five = combineCrc32(zeros(32), zeros(30), 2 ** 30);
    assert.equal(combineCrc32(0, five, 5 * 2 ** 30), five);
    // In any order of combining.
    assert.equal(combineCrc32(zeros(30), zeros(32), 2 ** 32), five);
    assert.equal(
      combineCrc32(zeros(10), zeros(33), 2 ** 33),
      combineCrc32(combineCrc32(zeros(10), zeros(32), 2 ** 32), zeros(32), 2 ** 32),
    );
  });
});

/** Returns the CRC-32 of 2 to the power of `doublings` zeros, by doubling. */
function zeros(doublings: number): number {
  let crc = crc32(Buffer.alloc(1));
  for (let doubling = 0; doubling < doublings; doubling++) crc = combineCrc32(crc, crc, 2 ** doubling);
  return crc;
}
