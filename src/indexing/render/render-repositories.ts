/** Renders the repositories of a chunk. */
import type { Digest } from '../../registry/digest.ts';
import type { Image } from '../../store/catalog.ts';
import { architectureMismatch } from '../appdata/flatpak-image.ts';
import { iconPath } from '../icons/icon-path.ts';
import type { IndexDefinition } from '../index-definition.ts';
import type { DecidedImage, DecidedRepository } from '../select/decide.ts';
import type { PlacedImage, ShownRepository } from './document.ts';
import { renderImage } from './render-image.ts';

/** Options of {@link Rendering}. */
export interface RenderingOptions {
  readonly definition: IndexDefinition;
  /** Base URI of icons in an index; ends with `/`. */
  readonly iconsUri: string;
}

/** Renders the images of one chunk, and collects their icons and warnings. */
export class Rendering {
  readonly icons = new Set<Digest>();
  readonly warnings = new Set<string>();
  /** PNGs of icons in an unusual spelling, which were not separated when the image was read. */
  readonly unusualPngs = new Map<Digest, Uint8Array>();
  readonly #options: RenderingOptions;
  readonly #pngs: ReadonlyMap<Digest, Buffer>;

  constructor(options: RenderingOptions, pngs: ReadonlyMap<Digest, Buffer>) {
    this.#options = options;
    this.#pngs = pngs;
  }

  show(repository: string, { digest, hidden }: DecidedImage, texts: ReadonlyMap<Digest, Image>): PlacedImage {
    const image = texts.get(digest);
    const rendered =
      image &&
      renderImage(image, {
        definition: this.#options.definition,
        readPng: (png) => {
          const bytes = this.#pngs.get(png);
          if (bytes === undefined)
            throw new Error(
              `the icon ${png} of ${repository}@${digest} is missing; the next full rebuild reads it again`,
            );
          return bytes;
        },
        storeIcon: (png, unusual) => {
          this.icons.add(png);
          if (unusual !== undefined) this.unusualPngs.set(png, unusual);
          return this.#options.iconsUri + iconPath(png);
        },
        onWarning: (warning) => void this.warnings.add(`${repository}@${digest}: ${warning}`),
      });
    const mismatch = image && architectureMismatch(image);
    if (mismatch !== undefined) this.warnings.add(`${repository}@${digest}: ${mismatch}`);
    // Left out, its app would vanish.
    if (image === undefined || rendered === undefined)
      throw new Error(`the image ${repository}@${digest} is missing in the catalog`);
    return {
      image: { digest, mediaType: image.mediaType, os: image.os, architecture: image.architecture, ...rendered },
      hidden,
    };
  }
}

/** Returns a repository as it is shown, with its images from `show`. */
export function showRepository(
  { name, images, lists }: DecidedRepository,
  show: (image: DecidedImage) => PlacedImage,
): ShownRepository {
  return {
    name,
    images: images.map((image) => ({ tags: image.tags, ...show(image) })),
    lists: lists.map(({ tags, digest, mediaType, images: inList }) => ({
      tags,
      digest,
      mediaType,
      images: inList.map(show),
    })),
  };
}
