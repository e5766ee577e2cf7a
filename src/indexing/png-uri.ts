/** Icons as Flatpak puts them into labels: `data:image/png;base64,…`. */

const PREFIX = 'data:image/png;base64,';
const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const MAX_BYTES = 1024 * 1024;

/** Says whether `value` claims to hold a PNG. */
export function isPngUri(value: string): boolean {
  return value.startsWith(PREFIX);
}

/**
 * The bytes of the PNG in a data URI.
 * @throws Error saying what is wrong with it: no base64, no PNG signature, over 1 MiB.
 */
export function decodePngUri(value: string): Buffer {
  const base64 = value.slice(PREFIX.length).replaceAll(/\s+/g, '');
  const digits = base64.replace(/={1,2}$/, '').length;
  const bytes = Buffer.from(base64, 'base64');
  // Buffer.from passes over what is not base64; then something is missing.
  if (digits % 4 === 1 || bytes.length !== Math.floor((digits * 3) / 4)) throw new Error('not base64');
  if (bytes.length > MAX_BYTES) throw new Error(`${bytes.length} bytes, more than ${MAX_BYTES}`);
  if (!bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE)) throw new Error('no PNG signature');
  return bytes;
}
