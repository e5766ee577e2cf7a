/** What is compressed comes out as it was, whatever its size. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pipeline } from 'node:stream/promises';
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { Compression } from '../../../src/indexing/snapshot/encodings.ts';
import { compress, compressor } from '../../../src/indexing/snapshot/encodings.ts';

const DECOMPRESS: Readonly<Record<Compression, (bytes: Buffer) => Buffer>> = { gzip: gunzipSync, br: brotliDecompressSync, zstd: zstdDecompressSync };
/** At the borders of the levels and windows as well. */
const SIZES = [0, 1, 16, 1000, 1024, 1025, 70_000, 128 * 1024, 128 * 1024 + 1, 1024 * 1024, 1024 * 1024 + 1];

for (const encoding of ['gzip', 'br', 'zstd'] as const) {
  test(`${encoding} gives back documents of every size, at once and as a stream, and the same bytes each time`, async () => {
    for (const size of SIZES) {
      const document = Buffer.alloc(size, 'the same text, again and again; ');
      const compressed = await compress(document, encoding);
      assert.ok(DECOMPRESS[encoding](compressed).equals(document), `${size} bytes`);
      assert.ok((await compress(document, encoding)).equals(compressed));
      assert.ok(DECOMPRESS[encoding](await compress(document, encoding, true)).equals(document), `${size} bytes, quick`);

      const chunks: Buffer[] = [];
      await pipeline([document], compressor(size, encoding), async (stream: AsyncIterable<Buffer>) => {
        for await (const chunk of stream) chunks.push(chunk);
      });
      assert.ok(DECOMPRESS[encoding](Buffer.concat(chunks)).equals(document), `${size} bytes, streamed`);
    }
  });
}
