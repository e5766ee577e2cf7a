/** Unpacks bodies that come compressed although they were asked for as they are (RFC 9110, section 8.4). */
import { PassThrough, pipeline, type Readable } from 'node:stream';
import { promisify } from 'node:util';
import { createGunzip, gunzip } from 'node:zlib';
import { messageOf } from '../../../system/message-of.ts';
import { RegistryError } from '../../registry-error.ts';
import { headerValue, type HttpHeaders } from './http-message.ts';

const gunzipped = promisify(gunzip);

/** The encoding that `headers` name, in lower case; `undefined` for bytes as they are. */
export function contentEncoding(headers: HttpHeaders): string | undefined {
  const encoding = headerValue(headers, 'content-encoding')?.trim().toLowerCase();
  return encoding === '' || encoding === 'identity' ? undefined : encoding;
}

export function isGzip(encoding: string): boolean {
  return encoding === 'gzip' || encoding === 'x-gzip';
}

/** Without what is true of the packed bytes alone. */
export function headersUnpacked({ 'content-encoding': _encoding, 'content-length': _length, 'accept-ranges': _ranges, ...headers }: HttpHeaders): HttpHeaders {
  return headers;
}

/**
 * A whole body unpacked; one that is not gzip at all, whatever was said of it, as it is.
 * @throws RegistryError `too-large` for more than `limit` bytes, `malformed` for what cannot be unpacked.
 */
export async function unpackBody(body: Buffer, limit: number, where: string): Promise<Buffer> {
  if (body[0] !== 0x1f || body[1] !== 0x8b) return body;
  try {
    return await gunzipped(body, { maxOutputLength: limit });
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE') throw new RegistryError('too-large', `${where}: the answer is larger than ${limit} bytes`, { cause });
    throw notUnpacked(where, cause);
  }
}

/** A body unpacked as it comes; destroying it destroys `body`. */
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
  return new RegistryError('malformed', `${where}: answered in content-encoding gzip, which was not asked for, and cannot be unpacked: ${messageOf(cause)}`, { cause });
}
