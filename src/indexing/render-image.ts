/** One image as an index shows it. */
import type { Image } from '../catalog/catalog.ts';
import type { IndexDefinition } from './index-definition.ts';
import { decodePngUri, isPngUri } from './png-uri.ts';

/** The labels and annotations that hold icons (flatpak-oci-specs; Flatpak's `flatpak-oci-registry.c`). */
const ICON_KEYS: ReadonlySet<string> = new Set(['org.freedesktop.appstream.icon-64', 'org.freedesktop.appstream.icon-128']);
const TOKEN_TYPE = 'org.flatpak.commit-metadata.xa.token-type';
/** A GVariant `v` that holds the int32 1, in base64: a token is needed. */
const TOKEN_NEEDED = 'AQAAAABp';

/** Keys and values, sorted by key. */
export type Pairs = readonly (readonly [key: string, value: string])[];

/** An image's part of an index. */
export interface RenderedImage {
  readonly annotations: Pairs;
  readonly labels: Pairs;
}

export interface RenderOptions {
  readonly definition: IndexDefinition;
  /** Keeps an icon and returns the URI that the index names it by. */
  readonly storeIcon: (png: Buffer) => string;
  /** Told of an icon that is left out, with the reason. */
  readonly onWarning: (message: string) => void;
}

/** Says whether `image` has all that an index requires. */
export function meetsRequirements(image: Image, { requiredAnnotations, requiredLabels }: IndexDefinition): boolean {
  return requiredAnnotations.every((key) => Object.hasOwn(image.annotations, key)) && requiredLabels.every((key) => Object.hasOwn(image.labels, key));
}

/** What an index shows of `image`; `undefined` if the index requires something that the image does not have. */
export function renderImage(image: Image, options: RenderOptions): RenderedImage | undefined {
  const { definition } = options;
  if (!meetsRequirements(image, definition)) return undefined;

  const originalLabels = new Map(Object.entries(image.labels));
  if (definition.forceFlatpakToken) originalLabels.set(TOKEN_TYPE, TOKEN_NEEDED);
  const labels = shown(originalLabels, definition.skipFlatpakLabels, options);
  const annotations = shown(new Map(Object.entries(image.annotations)), definition.skipFlatpakAnnotations, options);
  if (definition.flatpakAnnotations) {
    for (const [key, value] of labels) {
      if (!isFlatpakKey(key)) continue;
      annotations.set(key, value);
      labels.delete(key);
    }
  }
  return { annotations: sorted(annotations), labels: sorted(labels) };
}

function shown(original: ReadonlyMap<string, string>, skipFlatpak: boolean, options: RenderOptions): Map<string, string> {
  const kept = new Map<string, string>();
  for (const [key, value] of original) {
    if (skipFlatpak && isFlatpakKey(key)) continue;
    if (options.definition.extractIcons && ICON_KEYS.has(key) && isPngUri(value)) {
      try {
        kept.set(key, options.storeIcon(decodePngUri(value)));
      } catch (error) {
        options.onWarning(`${key} is left out: ${error instanceof Error ? error.message : String(error)}`);
      }
      continue;
    }
    kept.set(key, value);
  }
  return kept;
}

function isFlatpakKey(key: string): boolean {
  return key.startsWith('org.flatpak.') || key.startsWith('org.freedesktop.');
}

function sorted(pairs: ReadonlyMap<string, string>): Pairs {
  return [...pairs].toSorted(([a], [b]) => (a < b ? -1 : 1));
}
