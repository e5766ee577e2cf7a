/** Decompresses bodies that come compressed although identity was requested (RFC 9110, section 8.4). */
import { PassThrough, pipeline, type Readable } from 'node:stream';
import { promisify } from 'node:util';
import { createGunzip, gunzip } from 'node:zlib';
import { messageOf } from '../../../system/message-of.ts';
import { RegistryError } from '../../registry-error.ts';
import { headerValue, type HttpHeaders } from './http-message.ts';

const gunzipped = promisify(gunzip);

/** The content encoding, in lower case; `undefined` for identity. */
export function contentEncoding(headers: HttpHeaders): string | undefined {
  const encoding = headerValue(headers, 'content-encoding')?.trim().toLowerCase();
  return encoding === '' || encoding === 'identity' ? undefined : encoding;
}

/** Says whether a content encoding is gzip. */
export function isGzip(encoding: string): boolean {
  return encoding === 'gzip' || encoding === 'x-gzip';
}

/** Removes the headers that apply to the compressed bytes alone. */
export function headersUnpacked({
  'content-encoding': _encoding,
  'content-length': _length,
  'accept-ranges': _ranges,
  ...headers
}: HttpHeaders): HttpHeaders {
  return headers;
}

/**
 * Decompresses a whole body; returns it unchanged if it is not gzip in spite of its header.
 * @param limit of the decompressed body, in bytes
 * @throws RegistryError `too-large` above `limit`, `malformed` if it cannot be decompressed.
 */
export async function unpackBody(body: Buffer, limit: number, where: string): Promise<Buffer> {
  if (body[0] !== 0x1f || body[1] !== 0x8b) return body;
  try {
    return await gunzipped(body, { maxOutputLength: limit });
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE')
      throw new RegistryError('too-large', `${where}: the answer is larger than ${limit} bytes`, { cause });
    throw notUnpacked(where, cause);
  }
}

/** Decompresses a body while it is streamed; destroying the result destroys `body`. */
export function unpackStream(body: Readable, where: string): Readable {
  const unpacked = new Unpacked(where);
  pipeline(body, createGunzip(), unpacked, () => undefined);
  return unpacked;
}

class Unpacked extends PassThrough {
  readonly #where: string;

  constructor(where: string) {
    super();
    this.#where = where;
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    callback(error === null || error instanceof RegistryError ? error : notUnpacked(this.#where, error));
  }
}

function notUnpacked(where: string, cause: unknown): RegistryError {
  return new RegistryError(
    'malformed',
    `${where}: answered in content-encoding gzip, which was not requested, and cannot be decompressed: ${messageOf(cause)}`,
    { cause },
  );
}
