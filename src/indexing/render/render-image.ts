/** Renders the labels and annotations of an image as an index shows them. */
import type { Image, ImageIcon } from '../../store/catalog.ts';
import { messageOf } from '../../system/message-of.ts';
import { digestOf, type Digest } from '../../registry/digest.ts';
import { FLATPAK_REF, parseFlatpakRef } from '../appdata/flatpak-image.ts';
import { type RemoteIcon, withRemoteIcons } from '../appdata/remote-icons.ts';
import { iconPath } from '../icons/icon-path.ts';
import { ICON_KEYS } from '../icons/icons.ts';
import type { IndexDefinition } from '../index-definition.ts';
import { decodePngUri, isPngUri, pngUri } from '../icons/png-uri.ts';

const APPDATA = 'org.freedesktop.appstream.appdata';
const TOKEN_TYPE = 'org.flatpak.commit-metadata.xa.token-type';
/** A GVariant `v` with the int32 1, in base64: clients need a token. */
const TOKEN_NEEDED = 'AQAAAABp';
/** Characters that an XML document may not contain (XML 1.0, section 2.2), and references to characters. */
const FORBIDDEN_IN_XML = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;
const CHARACTER_REFERENCE = /&#(x[0-9a-f]+|\d+);/gi;

/** Keys and values, sorted by key. */
export type Pairs = readonly (readonly [key: string, value: string])[];

/** Labels and annotations of an image as an index shows them. */
export interface RenderedImage {
  readonly annotations: Pairs;
  readonly labels: Pairs;
}

/** Options of {@link renderImage}. */
export interface RenderOptions {
  readonly definition: IndexDefinition;
  /** Returns the PNG of one of the image's icons. */
  readonly readPng: (digest: Digest) => Buffer;
  /**
   * Returns the URI of an icon in the index.
   * @param unusual its PNG, unless it is among the image's icons
   */
  readonly storeIcon: (digest: Digest, unusual?: Buffer) => string;
  /** Receives a warning for each icon or appdata that is left out. */
  readonly onWarning: (message: string) => void;
}

/** Says whether `image` has all labels and annotations that an index requires. */
export function meetsRequirements(image: Image, { requiredAnnotations, requiredLabels }: IndexDefinition): boolean {
  const has = (place: ImageIcon['place'], texts: Image['labels'], key: string): boolean =>
    Object.hasOwn(texts, key) || image.icons.some((icon) => icon.place === place && icon.key === key);
  return (
    requiredAnnotations.every((key) => has('annotation', image.annotations, key)) &&
    requiredLabels.every((key) => has('label', image.labels, key))
  );
}

/**
 * Returns a label or annotation of Flatpak's own (but not an icon) as an index shows it; `undefined` if it does not.
 */
export function shownFlatpakText(
  { labels, annotations }: Image,
  definition: IndexDefinition,
  place: ImageIcon['place'],
  key: string,
): string | undefined {
  const label = !definition.skipFlatpakLabels && Object.hasOwn(labels, key) ? labels[key] : undefined;
  const annotation =
    !definition.skipFlatpakAnnotations && Object.hasOwn(annotations, key) ? annotations[key] : undefined;
  if (!definition.flatpakAnnotations) return place === 'label' ? label : annotation;
  return place === 'label' ? undefined : (label ?? annotation);
}

/** Renders `image`; `undefined` if it does not have all that the index requires. */
export function renderImage(image: Image, options: RenderOptions): RenderedImage | undefined {
  const { definition } = options;
  if (!meetsRequirements(image, definition)) return undefined;

  const originalLabels = new Map(Object.entries(image.labels));
  if (definition.forceFlatpakToken) originalLabels.set(TOKEN_TYPE, TOKEN_NEEDED);
  const icons = shownIcons(image, definition);
  const iconsOf = (place: ImageIcon['place']): readonly ImageIcon[] => icons.filter((icon) => icon.place === place);
  const labels = shown(originalLabels, iconsOf('label'), definition.skipFlatpakLabels, options);
  const annotations = shown(
    new Map(Object.entries(image.annotations)),
    iconsOf('annotation'),
    definition.skipFlatpakAnnotations,
    options,
  );
  if (definition.flatpakAnnotations) {
    for (const [key, value] of labels) {
      if (!isFlatpakKey(key)) continue;
      annotations.set(key, value);
      labels.delete(key);
    }
  }
  return { annotations: sorted(annotations), labels: sorted(labels) };
}

/** Returns the icons that are shown: they are left out with all of Flatpak's own keys. */
function shownIcons(
  { icons }: Image,
  { skipFlatpakAnnotations, skipFlatpakLabels }: IndexDefinition,
): readonly ImageIcon[] {
  return icons.filter(({ place }) => !(place === 'label' ? skipFlatpakLabels : skipFlatpakAnnotations));
}

function shown(
  original: ReadonlyMap<string, string>,
  icons: readonly ImageIcon[],
  skipFlatpak: boolean,
  options: RenderOptions,
): Map<string, string> {
  const {
    definition: { extractIcons, remoteIconsUri },
    readPng,
    storeIcon,
    onWarning,
  } = options;
  const kept = new Map<string, string>();
  const remote: RemoteIcon[] = [];
  const extract = (key: string, png: Digest, unusual?: Buffer): void => {
    kept.set(key, storeIcon(png, unusual));
    if (remoteIconsUri !== undefined)
      remote.push({ size: Number(key.split('-').at(-1)), url: remoteIconsUri + iconPath(png) });
  };
  for (const [key, value] of original) {
    if (skipFlatpak && isFlatpakKey(key)) continue;
    // Flatpak puts the appdata of all apps into one file, which AppStream could then not read.
    if (key === APPDATA && hasForbiddenCharacter(value)) {
      onWarning(`${key} is left out: it contains a character that XML does not allow`);
      continue;
    }
    if (!extractIcons || !ICON_KEYS.has(key) || !isPngUri(value)) {
      kept.set(key, value);
      continue;
    }
    // An icon in an unusual spelling, or an invalid one.
    let png: Buffer;
    try {
      png = decodePngUri(value);
    } catch (error) {
      onWarning(`${key} is left out: ${messageOf(error)}`);
      continue;
    }
    extract(key, digestOf(png), png);
  }
  for (const { key, png } of icons) {
    if (extractIcons) extract(key, png);
    else kept.set(key, pngUri(readPng(png)));
  }
  const appdata = kept.get(APPDATA);
  const id = parseFlatpakRef(kept.get(FLATPAK_REF))?.id;
  if (appdata !== undefined && id !== undefined)
    kept.set(
      APPDATA,
      withRemoteIcons(
        appdata,
        id,
        remote.toSorted((a, b) => a.size - b.size),
      ),
    );
  return kept;
}

/** Says whether `text` contains, itself or by reference, a character that makes XML parsers give up. */
function hasForbiddenCharacter(text: string): boolean {
  return (
    FORBIDDEN_IN_XML.test(text) ||
    [...text.matchAll(CHARACTER_REFERENCE)].some(([, number = '']) => isForbidden(Number(number.replace(/^x/i, '0x'))))
  );
}

function isForbidden(codePoint: number): boolean {
  return codePoint > 0x10ffff || FORBIDDEN_IN_XML.test(String.fromCodePoint(codePoint));
}

function isFlatpakKey(key: string): boolean {
  return key.startsWith('org.flatpak.') || key.startsWith('org.freedesktop.');
}

function sorted(pairs: ReadonlyMap<string, string>): Pairs {
  return [...pairs].toSorted(([a], [b]) => (a < b ? -1 : 1));
}
