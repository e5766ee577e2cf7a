/** The screenshots of an app as they are shown: as the app data name them, or from here. */
import type { NamedImage, NamedScreenshot } from '../appdata/appdata.ts';
import type { Digest } from '../../registry/digest.ts';
import { type Picture, picturePath } from './picture.ts';

/** How screenshots are shown: fetched once and served from here, from where they are, or not at all. */
export type ScreenshotMode = 'proxy' | 'link' | 'off';

/** Screenshots of one app that are shown. */
const MAX_SCREENSHOTS = 10;
/** Width of an image in a row of screenshots, and of one that fills a screen, in pixels. */
const SMALL = 500;
const LARGE = 2560;

/** A picture that was fetched. */
export interface KeptPicture extends Picture {
  readonly digest: Digest;
}

/** Pictures by the URL that they were fetched from. */
export type KeptPictures = Readonly<Record<string, KeptPicture>>;

/** A screenshot of an app. */
export interface Screenshot {
  readonly caption: string;
  /** The smallest first. */
  readonly images: readonly ScreenshotImage[];
}

/** One size of a screenshot. */
export interface ScreenshotImage {
  readonly kind: 'source' | 'thumbnail';
  /** A URI relative to the index's document. */
  readonly src: string;
  /** In pixels; 0 if unknown. */
  readonly width: number;
  readonly height: number;
}

/** Returns the URLs of the images that are shown of some screenshots. */
export function urlsOf(screenshots: readonly NamedScreenshot[]): readonly string[] {
  return [...new Set(screenshots.slice(0, MAX_SCREENSHOTS).flatMap((one) => chosenImages(one).map(({ url }) => url)))];
}

/**
 * Returns screenshots as they are shown, in their order; `undefined` in the place of those that are not.
 * @param kept for the mode `proxy`
 */
export function shownScreenshots(
  screenshots: readonly NamedScreenshot[],
  mode: ScreenshotMode,
  kept: KeptPictures,
): readonly (Screenshot | undefined)[] {
  return screenshots.map((screenshot, place) => {
    if (mode === 'off' || place >= MAX_SCREENSHOTS) return undefined;
    const images = chosenImages(screenshot).flatMap((image): readonly ScreenshotImage[] =>
      mode === 'link' ? [linked(image)] : served(image, Object.hasOwn(kept, image.url) ? kept[image.url] : undefined),
    );
    return images.length === 0
      ? undefined
      : { caption: screenshot.caption, images: images.toSorted((a, b) => a.width - b.width) };
  });
}

/** Chooses one image for a row of screenshots, and one for the whole screen; they may be the same. */
function chosenImages({ images }: NamedScreenshot): readonly NamedImage[] {
  const byWidth = images.filter(({ width }) => width > 0).toSorted((a, b) => a.width - b.width);
  const source = images.find(({ kind }) => kind === 'source') ?? images.at(-1);
  const large = byWidth.findLast(({ width }) => width <= LARGE) ?? source;
  const small = byWidth.find(({ width }) => width >= SMALL) ?? large;
  return [...new Set([small, large].filter((image) => image !== undefined))];
}

function linked({ kind, url: src, width, height }: NamedImage): ScreenshotImage {
  return { kind, src, width, height };
}

function served({ kind }: NamedImage, picture: KeptPicture | undefined): readonly ScreenshotImage[] {
  if (picture === undefined) return [];
  const { digest, type, width, height } = picture;
  return [{ kind, src: `../../${SCREENSHOTS}/${picturePath(digest, type)}`, width, height }];
}

/** The first path segment of pictures. */
export const SCREENSHOTS = 'screenshots';
