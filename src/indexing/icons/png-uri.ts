/** Icons as Flatpak puts them into labels: `data:image/png;base64,…`. */

const PREFIX = 'data:image/png;base64,';
const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const MAX_BYTES = 1024 * 1024;

/** The data URI that holds `png`. */
export function pngUri(png: Buffer): string {
  return PREFIX + png.toString('base64');
}

/** Says whether `value` claims to hold a PNG. */
export function isPngUri(value: string): boolean {
  return value.startsWith(PREFIX);
}

/**
 * The bytes of the PNG in a data URI.
 * @throws Error saying what is wrong with it: no base64, no PNG signature, over 1 MiB.
 */
export function decodePngUri(value: string): Buffer {
  const base64 = value.slice(PREFIX.length);
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length > MAX_BYTES) throw new Error('larger than 1 MiB');
  // Buffer.from passes over what is not base64. Only then, and for line breaks, the bytes are fewer than the characters promise.
  if (bytes.length !== bytesIn(base64) && bytes.length !== bytesIn(base64.replaceAll(/\s+/g, ''))) throw new Error('not base64');
  if (!bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE)) throw new Error('no PNG signature');
  return bytes;
}

/** How many bytes so many digits of base64 are; NaN if they cannot be any. */
function bytesIn(base64: string): number {
  const digits = base64.replace(/={1,2}$/, '').length;
  return digits % 4 === 1 ? Number.NaN : Math.floor((digits * 3) / 4);
}
