/** The encodings in which a document is kept, so that none has to be made while a client waits. */
import type { Transform } from 'node:stream';
import { promisify } from 'node:util';
import zlib from 'node:zlib';

/** Content codings (RFC 9110, section 8.4.1), the most compact first; `zstd` by RFC 8878. */
export const ENCODINGS = ['br', 'zstd', 'gzip', 'identity'] as const;
export type Encoding = (typeof ENCODINGS)[number];
export type Compression = Exclude<Encoding, 'identity'>;

export type Levels = Readonly<Record<Compression, number>>;

const SMALL = 128 * 1024;
const MEDIUM = 1024 * 1024;

/**
 * Levels by the size of the document: what is small is made about as compact as it gets (brotli's 7 takes 8 MB to save 2 %), what is
 * large must be ready soon (gzip's 6 takes twice as long as 5 to save 10 %). `npm run bench -- levels` measures them.
 */
export function levelsFor(bytes: number): Levels {
  if (bytes <= SMALL) return { gzip: 9, br: 6, zstd: 12 };
  if (bytes <= MEDIUM) return { gzip: 6, br: 6, zstd: 6 };
  return { gzip: 5, br: 4, zstd: 3 };
}

/** For an answer that a client waits for. */
const QUICK: Levels = { gzip: 2, br: 3, zstd: 1 };

/** The most that a coder gives out at once: each piece costs a turn of the event loop. */
const MAX_CHUNK = 256 * 1024;
/** How much smaller gzip makes a large document at least: those of many images by four and more. */
const LEAST_RATIO = 3;
/** In bits, of brotli and zstd: a larger one takes memory, of the clients too, and gains nothing. */
const MAX_WINDOW = 18;

/**
 * The coders are told how much will come. They would take memory for megabytes where hundreds of bytes come, and clearing it
 * would cost a hundred times as much as compressing.
 */
export function optionsFor(bytes: number, levels: Levels) {
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT, BROTLI_PARAM_LGWIN, BROTLI_MIN_WINDOW_BITS, ZSTD_c_compressionLevel, ZSTD_c_windowLog } = zlib.constants;
  const window = Math.min(MAX_WINDOW, Math.max(BROTLI_MIN_WINDOW_BITS, Math.ceil(Math.log2(bytes))));
  const chunkSize = Math.min(MAX_CHUNK, bytes + 1024);
  return {
    gzip: { chunkSize, level: levels.gzip },
    br: { chunkSize, params: { [BROTLI_PARAM_QUALITY]: levels.br, [BROTLI_PARAM_SIZE_HINT]: bytes, [BROTLI_PARAM_LGWIN]: window } },
    zstd: { chunkSize, pledgedSrcSize: bytes, params: { [ZSTD_c_compressionLevel]: levels.zstd, [ZSTD_c_windowLog]: window } },
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
      // All in one piece: between two, it would wait for its turn of a thread that may be compressing meanwhile.
      return gzip(document, { ...options.gzip, chunkSize: Math.max(options.gzip.chunkSize, Math.ceil(document.length / LEAST_RATIO)) });
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
