/** Facts about images that decide which of them an index shows, cached without the images' texts. */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../../registry/digest.ts';
import type { Catalog, Image } from '../../store/catalog.ts';
import { FLATPAK_REF } from '../appdata/flatpak-image.ts';
import type { IndexDefinition } from '../index-definition.ts';
import { meetsRequirements, shownFlatpakText } from '../render/render-image.ts';
import { DELTA_URL } from '../deltas/delta-manifest.ts';
import { identityOf } from './winners.ts';

/** Size of the image cache, in characters: images that were just read are rendered next, often for several indexes. */
const MAX_TEXTS = 12_000_000;
/** Size of an image in the cache without its texts, in characters. */
const IMAGE_OVERHEAD = 1000;
/** Images in the cache of facts. */
const MAX_FACTS = 50_000;

/** Identity of an image ({@link identityOf}), by where clients look for its ref. */
interface Identities {
  readonly label: string | undefined;
  readonly annotation: string | undefined;
  readonly either: string | undefined;
}

/** Facts about an image as one index sees it. */
export interface ImageFacts {
  /** Whether it has all that the index requires. */
  readonly shown: boolean;
  /** See {@link refsOf}. */
  readonly refs: readonly string[];
  /** `os/architecture`, if clients may look for a delta that leads to it, and it names none itself. */
  readonly deltaPlatform: string | undefined;
  readonly identities: Identities;
}

/** Returns the Flatpak refs that an image claims. */
export function refsOf({ labels, annotations }: Pick<Image, 'labels' | 'annotations'>): readonly string[] {
  return [
    ...new Set(
      [labels, annotations].flatMap((texts) =>
        Object.hasOwn(texts, FLATPAK_REF) ? [texts[FLATPAK_REF] as string] : [],
      ),
    ),
  ];
}

/** Reads images from the catalog, with a cache of the last ones. */
export class ImageCache {
  readonly #catalog: Catalog;
  /** Images by registry and digest. */
  readonly #kept = new LRUCache<string, Image>({
    maxSize: MAX_TEXTS,
    sizeCalculation: ({ labels, annotations }) => IMAGE_OVERHEAD + charactersOf(labels) + charactersOf(annotations),
  });

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /**
   * Returns those of `digests` that are known.
   * @throws StoreError
   */
  async get(registry: string, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, Image>> {
    const found = new Map<Digest, Image>();
    const missing: Digest[] = [];
    for (const digest of digests) {
      const kept = this.#kept.get(`${registry} ${digest}`);
      if (kept === undefined) missing.push(digest);
      else found.set(digest, kept);
    }
    if (missing.length === 0) return found;
    for (const [digest, image] of await this.#catalog.images(registry, missing)) {
      found.set(digest, image);
      this.#kept.set(`${registry} ${digest}`, image);
    }
    return found;
  }
}

/** Facts about images as one index sees them, with a cache of the last ones. */
export class FactsCache {
  readonly #images: ImageCache;
  readonly #definition: IndexDefinition;
  readonly #kept = new LRUCache<Digest, ImageFacts>({ max: MAX_FACTS });

  constructor(images: ImageCache, definition: IndexDefinition) {
    this.#images = images;
    this.#definition = definition;
  }

  /**
   * Returns the facts of `digests`.
   * @throws StoreError; Error if an image is missing: left out, its app would vanish
   */
  async get(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, ImageFacts>> {
    const images = await this.#images.get(
      this.#definition.registry,
      digests.filter((digest) => !this.#kept.has(digest)),
    );
    const found = new Map<Digest, ImageFacts>();
    for (const digest of digests) {
      let facts = this.#kept.get(digest);
      if (facts === undefined) {
        const image = images.get(digest);
        if (image === undefined) throw new Error(`the image ${digest} is missing in the catalog`);
        facts = this.#factsOf(image);
        this.#kept.set(digest, facts);
      }
      found.set(digest, facts);
    }
    return found;
  }

  #factsOf(image: Image): ImageFacts {
    const shown = meetsRequirements(image, this.#definition);
    const text = (place: 'label' | 'annotation') => (key: string) =>
      shownFlatpakText(image, this.#definition, place, key);
    const [label, annotation] = [text('label'), text('annotation')];
    return {
      shown,
      refs: shown ? refsOf(image) : [],
      deltaPlatform:
        shown && Object.hasOwn(image.labels, FLATPAK_REF) && !Object.hasOwn(image.labels, DELTA_URL)
          ? `${image.os}/${image.architecture}`
          : undefined,
      identities: {
        label: identityOf(image, label),
        annotation: identityOf(image, annotation),
        either: identityOf(image, (key) => label(key) ?? annotation(key)),
      },
    };
  }
}

function charactersOf(texts: Readonly<Record<string, string>>): number {
  return Object.entries(texts).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
}
