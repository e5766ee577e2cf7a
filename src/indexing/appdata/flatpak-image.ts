/** What Flatpak wrote about an image into its labels (flatpak-oci-specs, "Labels"; Flatpak's `add_labels_to_config`). */
import type { Image } from '../../store/catalog.ts';
import type { KeyFile } from './key-file.ts';

export type AppKind = 'app' | 'runtime' | 'extension';

/** `app/ID/ARCHITECTURE/BRANCH`, or `runtime/…`; the architecture is Flatpak's name of it. */
export interface FlatpakRef {
  readonly type: 'app' | 'runtime';
  readonly id: string;
  readonly architecture: string;
  readonly branch: string;
}

/** Reads a label or, where an index shows labels as annotations, that. */
export type LabelReader = (key: string) => string | undefined;

/** A ref that keeps Flatpak's rules of names (`flatpak_is_valid_name`, `flatpak_is_valid_branch`), or `undefined`. */
export function parseFlatpakRef(ref: string | undefined): FlatpakRef | undefined {
  const [, type, id, architecture, branch] = /^(app|runtime)\/([^/]+)\/([A-Za-z0-9_]+)\/([A-Za-z0-9_-][A-Za-z0-9._-]*)$/.exec(ref ?? '') ?? [];
  if (type === undefined || id === undefined || architecture === undefined || branch === undefined || !isAppId(id)) return undefined;
  return { type: type as FlatpakRef['type'], id, architecture, branch };
}

/** What the platform of an image's config calls an architecture of Flatpak (`flatpak_arch_to_oci_arch`). */
const OCI_ARCHITECTURES: ReadonlyMap<string, string> = new Map([['x86_64', 'amd64'], ['aarch64', 'arm64'], ['i386', '386']]);

/** What is wrong with an image whose ref and whose config name different architectures; `undefined` for every other. */
export function architectureMismatch({ architecture, labels, annotations }: Pick<Image, 'architecture' | 'labels' | 'annotations'>): string | undefined {
  const ref = parseFlatpakRef(labels['org.flatpak.ref'] ?? annotations['org.flatpak.ref']);
  if (ref === undefined || architecture === (OCI_ARCHITECTURES.get(ref.architecture) ?? ref.architecture)) return undefined;
  return `its Flatpak ref is for ${ref.architecture}, its image config says ${architecture}: clients of neither can install it; build it anew for one of them`;
}

/** Says whether `id` can be the name of an app or a runtime. */
export function isAppId(id: string): boolean {
  return id.length <= 255 && /^[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)+$/.test(id);
}

export function kindOf({ type }: FlatpakRef, metadata: KeyFile): AppKind {
  if (type === 'app') return 'app';
  return metadata.has('ExtensionOf') ? 'extension' : 'runtime';
}

/** Says whether a label is a URL that a client can ask. */
export function isWebUrl(text: string | undefined): text is string {
  const protocol = text === undefined ? undefined : URL.parse(text)?.protocol;
  return protocol === 'http:' || protocol === 'https:';
}

/** The time of the build, in seconds since the epoch; 0 if it is not told. */
export function builtAt(label: LabelReader): number {
  const seconds = Number(label('org.flatpak.timestamp'));
  return Number.isSafeInteger(seconds) && seconds > 0 && seconds < 253_402_300_800 ? seconds : 0;
}

/** Seconds since the epoch as ISO 8601; empty for 0. */
export function isoSeconds(seconds: number): string {
  return seconds === 0 ? '' : new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

/** A text from a label that holds a GVariant of the type `v` in base64; empty if it holds anything else. */
function variantText(value: string | undefined): string {
  const bytes = Buffer.from((value ?? '').slice(0, 16_384), 'base64');
  return bytes.subarray(-3).equals(TEXT_END) ? bytes.subarray(0, -3).toString() : '';
}

const MAX_NOTICE = 1000;

/** That an app gets no updates any more. Both are empty for one that does. */
export interface EndOfLife {
  /** Why it is at its end of life. */
  readonly endOfLife: string;
  /** The ref that takes its place. */
  readonly replacedBy: string;
}

export function endOfLifeOf(label: LabelReader): EndOfLife {
  const notice = (key: string): string => variantText(label(`org.flatpak.commit-metadata.ostree.${key}`)).slice(0, MAX_NOTICE);
  return { endOfLife: notice('endoflife'), replacedBy: notice('endoflife-rebase') };
}

/** What follows the text: its NUL, a NUL before the type, and the type `s`. */
const TEXT_END = Buffer.from([0, 0, 's'.charCodeAt(0)]);
