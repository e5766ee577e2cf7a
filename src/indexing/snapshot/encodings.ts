/** The encodings in which a document is kept, so that none has to be made while a client waits. */
import type { Transform } from 'node:stream';
import { promisify } from 'node:util';
import zlib from 'node:zlib';

/** Content codings (RFC 9110, section 8.4.1), the most compact first; `zstd` by RFC 8878. */
export const ENCODINGS = ['br', 'zstd', 'gzip', 'identity'] as const;
export type Encoding = (typeof ENCODINGS)[number];
export type Compression = Exclude<Encoding, 'identity'>;

export type Levels = Readonly<Record<Compression, number>>;

const SMALL = 1024 * 1024;
const LARGE = 8 * 1024 * 1024;

/**
 * Levels by the size of the document: what is small is made about as compact as it gets (brotli's 8 and 9 take 17 and 31 MB to
 * save 1 %), what is large must be ready in seconds. `npm run bench -- levels` measures them.
 */
export function levelsFor(bytes: number): Levels {
  if (bytes <= SMALL) return { gzip: 9, br: 7, zstd: 12 };
  if (bytes <= LARGE) return { gzip: 6, br: 4, zstd: 3 };
  return { gzip: 3, br: 4, zstd: 3 };
}

/** For an answer that a client waits for. */
const QUICK: Levels = { gzip: 2, br: 3, zstd: 1 };

/** The most that a coder gives out at once: each piece costs a turn of the event loop. */
const MAX_CHUNK = 256 * 1024;
/** In bits: more takes memory for little gain. */
const MAX_BROTLI_WINDOW = 19;

/**
 * The coders are told how much will come. They would take memory for megabytes where hundreds of bytes come, and clearing it
 * would cost a hundred times as much as compressing.
 */
export function optionsFor(bytes: number, levels: Levels) {
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT, BROTLI_PARAM_LGWIN, BROTLI_MIN_WINDOW_BITS, ZSTD_c_compressionLevel } = zlib.constants;
  const window = Math.min(MAX_BROTLI_WINDOW, Math.max(BROTLI_MIN_WINDOW_BITS, Math.ceil(Math.log2(bytes))));
  const chunkSize = Math.min(MAX_CHUNK, bytes + 1024);
  return {
    gzip: { chunkSize, level: levels.gzip },
    br: { chunkSize, params: { [BROTLI_PARAM_QUALITY]: levels.br, [BROTLI_PARAM_SIZE_HINT]: bytes, [BROTLI_PARAM_LGWIN]: window } },
    zstd: { chunkSize, pledgedSrcSize: bytes, params: { [ZSTD_c_compressionLevel]: levels.zstd } },
  };
}

const gzip = promisify(zlib.gzip);
const brotliCompress = promisify(zlib.brotliCompress);
const zstdCompress = promisify<Buffer, zlib.ZstdOptions, Buffer>(zlib.zstdCompress);

/** Compresses a whole document, off the calling thread; `quick` if a client waits for it. */
export function compress(document: Buffer, encoding: Compression, quick = false): Promise<Buffer> {
  const options = optionsFor(document.length, quick ? QUICK : levelsFor(document.length));
  switch (encoding) {
    case 'gzip':
      return gzip(document, options.gzip);
    case 'br':
      return brotliCompress(document, options.br);
    case 'zstd':
      return zstdCompress(document, options.zstd);
  }
}

/** Compresses a whole document on the calling thread. */
export function compressSync(document: Buffer, encoding: Exclude<Compression, 'gzip'>): Buffer {
  const options = optionsFor(document.length, levelsFor(document.length));
  return encoding === 'br' ? zlib.brotliCompressSync(document, options.br) : zlib.zstdCompressSync(document, options.zstd);
}

/** A stream that compresses a document of so many bytes. */
export function compressor(bytes: number, encoding: Compression): Transform {
  const options = optionsFor(bytes, levelsFor(bytes));
  switch (encoding) {
    case 'gzip':
      return zlib.createGzip(options.gzip);
    case 'br':
      return zlib.createBrotliCompress(options.br);
    case 'zstd':
      return zlib.createZstdCompress(options.zstd);
  }
}
