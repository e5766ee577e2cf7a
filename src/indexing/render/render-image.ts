/** One image as an index shows it. */
import type { Image, ImageIcon } from '../../store/catalog.ts';
import { messageOf } from '../../system/message-of.ts';
import { digestOf, type Digest } from '../../registry/digest.ts';
import { parseFlatpakRef } from '../appdata/flatpak-image.ts';
import { type RemoteIcon, withRemoteIcons } from '../appdata/remote-icons.ts';
import { iconPath } from '../icons/icon-path.ts';
import { ICON_KEYS } from '../icons/icons.ts';
import type { IndexDefinition } from '../index-definition.ts';
import { decodePngUri, isPngUri, pngUri } from '../icons/png-uri.ts';

const APPDATA = 'org.freedesktop.appstream.appdata';
const TOKEN_TYPE = 'org.flatpak.commit-metadata.xa.token-type';
/** A GVariant `v` that holds the int32 1, in base64: a token is needed. */
const TOKEN_NEEDED = 'AQAAAABp';
/** Characters that an XML document may not contain (XML 1.0, section 2.2), and references to characters. */
const FORBIDDEN_IN_XML = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;
const CHARACTER_REFERENCE = /&#(x[0-9a-f]+|\d+);/gi;

/** Keys and values, sorted by key. */
export type Pairs = readonly (readonly [key: string, value: string])[];

/** An image's part of an index. */
export interface RenderedImage {
  readonly annotations: Pairs;
  readonly labels: Pairs;
}

export interface RenderOptions {
  readonly definition: IndexDefinition;
  /** The PNG of one of the image's icons. */
  readonly readPng: (digest: Digest) => Buffer;
  /** Returns the URI that the index names an icon by. @param unusual its PNG, where it was not among the image's icons */
  readonly storeIcon: (digest: Digest, unusual?: Buffer) => string;
  /** Told of an icon or app data that are left out, with the reason. */
  readonly onWarning: (message: string) => void;
}

/** Says whether `image` has all that an index requires. */
export function meetsRequirements(image: Image, { requiredAnnotations, requiredLabels }: IndexDefinition): boolean {
  const has = (place: ImageIcon['place'], texts: Image['labels'], key: string): boolean =>
    Object.hasOwn(texts, key) || image.icons.some((icon) => icon.place === place && icon.key === key);
  return requiredAnnotations.every((key) => has('annotation', image.annotations, key)) && requiredLabels.every((key) => has('label', image.labels, key));
}

/** What an index shows as a label or annotation that is Flatpak's own and no icon; `undefined` if nothing. */
export function shownFlatpakText({ labels, annotations }: Image, definition: IndexDefinition, place: ImageIcon['place'], key: string): string | undefined {
  const label = !definition.skipFlatpakLabels && Object.hasOwn(labels, key) ? labels[key] : undefined;
  const annotation = !definition.skipFlatpakAnnotations && Object.hasOwn(annotations, key) ? annotations[key] : undefined;
  if (!definition.flatpakAnnotations) return place === 'label' ? label : annotation;
  return place === 'label' ? undefined : (label ?? annotation);
}

/** What an index shows of `image`; `undefined` if the index requires something that the image does not have. */
export function renderImage(image: Image, options: RenderOptions): RenderedImage | undefined {
  const { definition } = options;
  if (!meetsRequirements(image, definition)) return undefined;

  const originalLabels = new Map(Object.entries(image.labels));
  if (definition.forceFlatpakToken) originalLabels.set(TOKEN_TYPE, TOKEN_NEEDED);
  const icons = shownIcons(image, definition);
  const iconsOf = (place: ImageIcon['place']): readonly ImageIcon[] => icons.filter((icon) => icon.place === place);
  const labels = shown(originalLabels, iconsOf('label'), definition.skipFlatpakLabels, options);
  const annotations = shown(new Map(Object.entries(image.annotations)), iconsOf('annotation'), definition.skipFlatpakAnnotations, options);
  if (definition.flatpakAnnotations) {
    for (const [key, value] of labels) {
      if (!isFlatpakKey(key)) continue;
      annotations.set(key, value);
      labels.delete(key);
    }
  }
  return { annotations: sorted(annotations), labels: sorted(labels) };
}

/** Icons are Flatpak's own, and left out with all that is. */
function shownIcons({ icons }: Image, { skipFlatpakAnnotations, skipFlatpakLabels }: IndexDefinition): readonly ImageIcon[] {
  return icons.filter(({ place }) => !(place === 'label' ? skipFlatpakLabels : skipFlatpakAnnotations));
}

function shown(original: ReadonlyMap<string, string>, icons: readonly ImageIcon[], skipFlatpak: boolean, options: RenderOptions): Map<string, string> {
  const { definition: { extractIcons, remoteIconsUri }, readPng, storeIcon, onWarning } = options;
  const kept = new Map<string, string>();
  const remote: RemoteIcon[] = [];
  const extract = (key: string, png: Digest, unusual?: Buffer): void => {
    kept.set(key, storeIcon(png, unusual));
    if (remoteIconsUri !== undefined) remote.push({ size: Number(key.split('-').at(-1)), url: remoteIconsUri + iconPath(png) });
  };
  for (const [key, value] of original) {
    if (skipFlatpak && isFlatpakKey(key)) continue;
    // Flatpak passes it on in one file with the app data of all apps, which AppStream could not read.
    if (key === APPDATA && hasForbiddenCharacter(value)) {
      onWarning(`${key} is left out: it has a character that XML does not allow`);
      continue;
    }
    if (!extractIcons || !ICON_KEYS.has(key) || !isPngUri(value)) {
      kept.set(key, value);
      continue;
    }
    // An icon that is written in an unusual way, or none.
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
  const id = parseFlatpakRef(kept.get('org.flatpak.ref'))?.id;
  if (appdata !== undefined && id !== undefined) kept.set(APPDATA, withRemoteIcons(appdata, id, remote.toSorted((a, b) => a.size - b.size)));
  return kept;
}

/** Says whether `text` contains, itself or by reference, a character that makes XML parsers give up. */
function hasForbiddenCharacter(text: string): boolean {
  return FORBIDDEN_IN_XML.test(text) || [...text.matchAll(CHARACTER_REFERENCE)].some(([, number = '']) => isForbidden(Number(number.replace(/^x/i, '0x'))));
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
