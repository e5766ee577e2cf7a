/** Renders the repositories of a chunk. */
import { digestOf, type Digest } from '../../registry/digest.ts';
import type { Image } from '../../store/catalog.ts';
import type { MadeDelta } from '../../store/deltas.ts';
import { architectureMismatch } from '../appdata/flatpak-image.ts';
import { DELTA_URL, deltaManifest, deltaManifestPath, DELTAS_PATH } from '../deltas/delta-manifest.ts';
import { iconPath } from '../icons/icon-path.ts';
import type { IndexDefinition } from '../index-definition.ts';
import type { DecidedImage, DecidedRepository } from '../select/decide.ts';
import type { PlacedImage, ShownRepository } from './document.ts';
import { type Pairs, renderImage } from './render-image.ts';

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
  /** Manifests of the deltas of its images. */
  readonly deltaManifests = new Map<Digest, Buffer>();
  readonly #options: RenderingOptions;
  readonly #pngs: ReadonlyMap<Digest, Buffer>;

  constructor(options: RenderingOptions, pngs: ReadonlyMap<Digest, Buffer>) {
    this.#options = options;
    this.#pngs = pngs;
  }

  show(repository: string, { digest, hidden, deltas }: DecidedImage, texts: ReadonlyMap<Digest, Image>): PlacedImage {
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
    const { mediaType, os, architecture } = image;
    const labels = deltas === undefined ? rendered.labels : this.#withDeltas(rendered.labels, digest, deltas);
    return { image: { digest, mediaType, os, architecture, annotations: rendered.annotations, labels }, hidden };
  }

  /** Adds the label that leads to the manifest of an image's deltas. */
  #withDeltas(labels: Pairs, image: Digest, deltas: readonly MadeDelta[]): Pairs {
    const { deltas: definition } = this.#options.definition;
    if (definition === undefined) return labels;
    const manifest = deltaManifest(image, deltas, definition);
    const digest = digestOf(manifest);
    this.deltaManifests.set(digest, manifest);
    const url = (definition.url ?? DELTAS_PATH) + deltaManifestPath(digest);
    return [...labels, [DELTA_URL, url] as const].toSorted(([a], [b]) => (a < b ? -1 : 1));
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
