/** Pictures as they are kept and served: checked by their bytes, of which nothing is decoded. */
import { JPG } from 'image-size/types/jpg';
import { PNG } from 'image-size/types/png';
import { WEBP } from 'image-size/types/webp';
import type { Digest } from '../../registry/digest.ts';
import { contentPath, digestOfContentPath } from '../content-path.ts';

/** The most bytes of a picture. */
export const MAX_PICTURE_BYTES = 4 * 1024 * 1024;
/** Longest side, and the most pixels of a picture, which browsers have to hold in memory. */
const MAX_SIDE = 10_000;
const MAX_PIXELS = 40_000_000;

/** Bytes of the longest header that is read: beyond their end, the readers take zeros. */
const SHORTEST = 30;

const READERS = { png: PNG, jpg: JPG, webp: WEBP } as const;

/** Kind of a picture, as the ending of its file. */
export type PictureType = keyof typeof READERS;
const TYPES = Object.keys(READERS) as readonly PictureType[];

/** Media types of pictures. */
export const MEDIA_TYPES: Readonly<Record<PictureType, string>> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  webp: 'image/webp',
};

/** Type and size of a picture, from its header. */
export interface Picture {
  readonly type: PictureType;
  /** In pixels. */
  readonly width: number;
  readonly height: number;
}

/** Returns the type of a picture by its first bytes; `undefined` if it is none of those that are kept. */
export function pictureTypeOf(bytes: Uint8Array): PictureType | undefined {
  return TYPES.find((type) => {
    try {
      return READERS[type].validate(bytes);
    } catch {
      return false;
    }
  });
}

/**
 * Reads the header of a picture.
 * @throws Error that says what is wrong with it
 */
export function readPicture(bytes: Uint8Array): Picture {
  const type = pictureTypeOf(bytes);
  if (type === undefined) throw new Error('it is no PNG, JPEG or WebP');
  if (bytes.length < SHORTEST) throw new Error('its header is damaged');
  let size: { readonly width: number; readonly height: number };
  try {
    size = READERS[type].calculate(bytes);
  } catch (cause) {
    throw new Error('its header is damaged', { cause });
  }
  const { width, height } = size;
  if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0))
    throw new Error('its header is damaged');
  if (Math.max(width, height) > MAX_SIDE || width * height > MAX_PIXELS)
    throw new Error(`it has ${width} × ${height} pixels, more than a page should show`);
  return { type, width, height };
}

/** Returns the path of a picture below `/screenshots/`, such as `ab/cd….png`. */
export function picturePath(digest: Digest, type: PictureType): string {
  return contentPath(digest, type);
}

/** Parses a path that {@link picturePath} may have returned. */
export function parsePicturePath(path: string): { readonly digest: Digest; readonly type: PictureType } | undefined {
  for (const type of TYPES) {
    const digest = digestOfContentPath(path, type);
    if (digest !== undefined) return { digest, type };
  }
  return undefined;
}
