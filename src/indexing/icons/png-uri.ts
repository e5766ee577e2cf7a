/** Icons as Flatpak writes them into labels: `data:image/png;base64,…`. */

const PREFIX = 'data:image/png;base64,';
const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const MAX_BYTES = 1024 * 1024;

/** Returns the data URI of `png`. */
export function pngUri(png: Buffer): string {
  return PREFIX + png.toString('base64');
}

/** Says whether `value` is a data URI of a PNG, by its prefix alone. */
export function isPngUri(value: string): boolean {
  return value.startsWith(PREFIX);
}

/**
 * Decodes the PNG in a data URI.
 * @throws Error if it is not base64, lacks the PNG signature or is larger than 1 MiB
 */
export function decodePngUri(value: string): Buffer {
  const base64 = value.slice(PREFIX.length);
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length > MAX_BYTES) throw new Error('it is larger than 1 MiB');
  // Buffer.from skips characters that are not base64: then, and only then, there are fewer bytes than expected (white
  // space aside).
  if (bytes.length !== bytesIn(base64) && bytes.length !== bytesIn(base64.replaceAll(/\s+/g, '')))
    throw new Error('it is not valid base64');
  if (!bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE))
    throw new Error('it does not begin with the PNG signature');
  return bytes;
}

/** Returns the length that base64 decodes to, in bytes; NaN if its own length is not valid. */
function bytesIn(base64: string): number {
  const digits = base64.replace(/={1,2}$/, '').length;
  return digits % 4 === 1 ? Number.NaN : Math.floor((digits * 3) / 4);
}
