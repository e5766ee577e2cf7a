/** Separates icons from an image's labels and annotations. */
import { LRUCache } from 'lru-cache';
import type { ImageIcon } from '../../store/catalog.ts';
import { digestOf, type Digest } from '../../registry/digest.ts';
import { decodePngUri, isPngUri, pngUri } from './png-uri.ts';

/** Labels and annotations that hold icons (flatpak-oci-specs; Flatpak's `flatpak-oci-registry.c`). */
export const ICON_KEYS: ReadonlySet<string> = new Set([
  'org.freedesktop.appstream.icon-64',
  'org.freedesktop.appstream.icon-128',
]);

/** Icons in the cache. */
const MAX_REMEMBERED = 64;
/** Longest text in the cache, in characters. */
const MAX_LENGTH = 50_000;

type Texts = Readonly<Record<string, string>>;

/** Labels and annotations without their icons, and the icons. */
export interface DetachedIcons {
  readonly annotations: Texts;
  readonly labels: Texts;
  readonly icons: readonly ImageIcon[];
  readonly pngs: ReadonlyMap<Digest, Buffer>;
}

/** An icon's text, and its bytes with their digest. */
interface Png {
  readonly text: string;
  readonly digest: Digest;
  readonly bytes: Buffer;
}

/** Decodes icons, with a cache: the builds of an app for all architectures share theirs. */
export class IconReader {
  /** The last icon of each length: comparing a text costs less than hashing it. */
  readonly #last = new LRUCache<number, Png>({ max: MAX_REMEMBERED });

  /** Decodes an icon; `undefined` unless {@link pngUri} of its bytes is exactly `text`. */
  read(text: string): Png | undefined {
    if (!isPngUri(text)) return undefined;
    const known = this.#last.get(text.length);
    if (known?.text === text) return known;
    const bytes = decoded(text);
    if (bytes === undefined || pngUri(bytes) !== text) return undefined;
    const png = { text, digest: digestOf(bytes), bytes };
    if (text.length <= MAX_LENGTH) this.#last.set(text.length, png);
    return png;
  }
}

/** Separates the icons that `reader` can decode; others stay where they are. */
export function detachIcons(
  { annotations, labels }: { readonly annotations: Texts; readonly labels: Texts },
  reader: IconReader,
): DetachedIcons {
  const icons: ImageIcon[] = [];
  const pngs = new Map<Digest, Buffer>();
  const without = (place: ImageIcon['place'], texts: Texts): Texts => {
    const taken = new Set<string>();
    for (const key of ICON_KEYS) {
      const png = Object.hasOwn(texts, key) ? reader.read(texts[key] as string) : undefined;
      if (png === undefined) continue;
      icons.push({ place, key, png: png.digest });
      pngs.set(png.digest, png.bytes);
      taken.add(key);
    }
    return taken.size === 0 ? texts : Object.fromEntries(Object.entries(texts).filter(([key]) => !taken.has(key)));
  };
  return { annotations: without('annotation', annotations), labels: without('label', labels), icons, pngs };
}

function decoded(text: string): Buffer | undefined {
  try {
    return decodePngUri(text);
  } catch {
    return undefined;
  }
}
