/** Made-up icons. */
import { digestOf } from '../../src/registry/digest.ts';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Returns bytes that begin like a PNG and differ by `content`. */
export function png(content: string): Buffer {
  return Buffer.concat([SIGNATURE, Buffer.from(content)]);
}

export function pngUri(content: string): string {
  return `data:image/png;base64,${png(content).toString('base64')}`;
}

/** Returns the path of the icon of {@link pngUri} below the folder of icons (regindexer's layout). */
export function pngPath(content: string): string {
  const hex = digestOf(png(content)).slice('sha256:'.length);
  return `${hex.slice(0, 2)}/${hex.slice(2)}.png`;
}
