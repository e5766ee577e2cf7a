/** Screenshots of an app, in a strip that is swiped, scrolled or stepped through. */
import type { AppDetails } from '../../indexing/appdata/app-details.ts';
import type { Screenshot, ScreenshotImage } from '../../indexing/screenshots/screenshots.ts';
import { html, type Html } from './html.ts';
import type { Links } from './links.ts';

/** Pixels from which an image is large enough where nothing is known of the window. */
const LARGE_ENOUGH = 600;

/** Writes the strip. */
export function screenshots(
  links: Links,
  index: string,
  { name, screenshots: all }: AppDetails,
  lang: Html | false,
): Html | false {
  const shown = all.flatMap((screenshot, place) =>
    one(links, index, screenshot, `${name}, picture ${place + 1}`, lang),
  );
  return (
    shown.length > 0 &&
    html`<section class="screenshots" aria-label="Screenshots">
      <ul tabindex="0" aria-label="Screenshots, to scroll">
        ${shown}
      </ul>
      ${
        shown.length > 1 &&
        html`<div class="steps scripted">
          <button type="button" class="previous" aria-label="Previous screenshot">‹</button
          ><button type="button" class="next" aria-label="Next screenshot">›</button>
        </div>`
      }
    </section>`
  );
}

function one(links: Links, index: string, screenshot: Screenshot, label: string, lang: Html | false): readonly Html[] {
  const { caption } = screenshot;
  const images = screenshot.images.flatMap(({ src, ...image }) => {
    const url = links.resolve(index, src);
    return url === undefined ? [] : [{ ...image, src: url }];
  });
  const image = middle(images);
  if (image === undefined) return [];
  const { src, width, height } = image;
  const widths = images.filter((each) => each.width > 0).map((each) => `${each.src} ${each.width}w`);
  return [
    html`<li>
      <figure>
        <a href="${images.at(-1)?.src ?? src}"
          ><img
            src="${src}"
            ${widths.length > 1 && html`srcset="${widths.join(', ')}" sizes="(min-width: 52rem) 38rem, 85vw"`}
            ${width > 0 && height > 0 && html`width="${width}" height="${height}"`}
            alt="${caption || label}"
            loading="lazy"
            decoding="async"
        /></a>
        ${caption !== '' && html`<figcaption dir="auto" ${lang}>${caption}</figcaption>`}
      </figure>
    </li>`,
  ];
}

/** Returns the smallest image that is large enough, or else the largest. */
function middle<T extends Pick<ScreenshotImage, 'width'>>(images: readonly T[]): T | undefined {
  return images.find(({ width }) => width >= LARGE_ENOUGH) ?? images.at(-1);
}

/** Returns the URL of a screenshot in its full size; `undefined` if none is usable. */
export function sourceOf(links: Links, index: string, { images }: Screenshot): string | undefined {
  const [largest] = images.toReversed();
  return largest && links.resolve(index, largest.src);
}
