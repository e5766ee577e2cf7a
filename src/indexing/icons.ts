/** The icons among an image's labels and annotations. */
import type { ImageIcon } from '../catalog/catalog.ts';
import { digestOf, type Digest } from '../registry/digest.ts';
import { decodePngUri, isPngUri, pngUri } from './png-uri.ts';

/** The labels and annotations that hold icons (flatpak-oci-specs; Flatpak's `flatpak-oci-registry.c`). */
export const ICON_KEYS: ReadonlySet<string> = new Set(['org.freedesktop.appstream.icon-64', 'org.freedesktop.appstream.icon-128']);

type Texts = Readonly<Record<string, string>>;

/** Labels and annotations in parts. */
export interface DetachedIcons {
  readonly annotations: Texts;
  readonly labels: Texts;
  readonly icons: readonly ImageIcon[];
  readonly pngs: ReadonlyMap<Digest, Buffer>;
}

/** Takes out the icons that {@link pngUri} gives back as they were written; what only claims to be an icon stays. */
export function detachIcons({ annotations, labels }: { readonly annotations: Texts; readonly labels: Texts }): DetachedIcons {
  const icons: ImageIcon[] = [];
  const pngs = new Map<Digest, Buffer>();
  const without = (place: ImageIcon['place'], texts: Texts): Texts => {
    const taken = new Set<string>();
    for (const key of ICON_KEYS) {
      const bytes = Object.hasOwn(texts, key) ? pngOf(texts[key] as string) : undefined;
      if (bytes === undefined) continue;
      const png = digestOf(bytes);
      icons.push({ place, key, png });
      pngs.set(png, bytes);
      taken.add(key);
    }
    return taken.size === 0 ? texts : Object.fromEntries(Object.entries(texts).filter(([key]) => !taken.has(key)));
  };
  return { annotations: without('annotation', annotations), labels: without('label', labels), icons, pngs };
}

function pngOf(text: string): Buffer | undefined {
  if (!isPngUri(text)) return undefined;
  try {
    const png = decodePngUri(text);
    return pngUri(png) === text ? png : undefined;
  } catch {
    return undefined;
  }
}
