/** The labels that Flatpak writes into an image (flatpak-oci-specs, "Labels"; Flatpak's `add_labels_to_config`). */
import type { Image } from '../../store/catalog.ts';
import type { KeyFile } from './key-file.ts';

/** Key of the label or annotation with the ref of a Flatpak. */
export const FLATPAK_REF = 'org.flatpak.ref';

/** Kind of a Flatpak. */
export type AppKind = 'app' | 'runtime' | 'extension';

/** A ref: `app/ID/ARCHITECTURE/BRANCH` or `runtime/…`, with Flatpak's name of the architecture, such as `x86_64`. */
export interface FlatpakRef {
  readonly type: 'app' | 'runtime';
  readonly id: string;
  readonly architecture: string;
  readonly branch: string;
}

/** Returns the value of a label, or of the annotation that an index shows instead; `undefined` if there is none. */
export type LabelReader = (key: string) => string | undefined;

/** Parses a ref; `undefined` unless its names are valid (`flatpak_is_valid_name`, `flatpak_is_valid_branch`). */
export function parseFlatpakRef(ref: string | undefined): FlatpakRef | undefined {
  const [, type, id, architecture, branch] =
    /^(app|runtime)\/([^/]+)\/([A-Za-z0-9_]+)\/([A-Za-z0-9_-][A-Za-z0-9._-]*)$/.exec(ref ?? '') ?? [];
  if (type === undefined || id === undefined || architecture === undefined || branch === undefined || !isAppId(id))
    return undefined;
  return { type: type as FlatpakRef['type'], id, architecture, branch };
}

/** GOARCH names by Flatpak's names of architectures (`flatpak_arch_to_oci_arch`). */
const OCI_ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ['x86_64', 'amd64'],
  ['aarch64', 'arm64'],
  ['i386', '386'],
]);

/** Describes the mismatch if an image's ref and config name different architectures; `undefined` if they agree. */
export function architectureMismatch({
  architecture,
  labels,
  annotations,
}: Pick<Image, 'architecture' | 'labels' | 'annotations'>): string | undefined {
  const ref = parseFlatpakRef(labels[FLATPAK_REF] ?? annotations[FLATPAK_REF]);
  if (ref === undefined || architecture === (OCI_ARCHITECTURES.get(ref.architecture) ?? ref.architecture))
    return undefined;
  return `its Flatpak ref is for ${ref.architecture}, but its image config says ${architecture}, so that no client can install it: build it again for one of them`;
}

/** Says whether `id` is a valid name of an app or a runtime (`flatpak_is_valid_name`). */
export function isAppId(id: string): boolean {
  return id.length <= 255 && /^[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)+$/.test(id);
}

/**
 * Returns the kind of a Flatpak.
 * @param metadata its `org.flatpak.metadata`
 */
export function kindOf({ type }: FlatpakRef, metadata: KeyFile): AppKind {
  if (type === 'app') return 'app';
  return metadata.has('ExtensionOf') ? 'extension' : 'runtime';
}

/** Says whether a text is an `http` or `https` URL. */
export function isWebUrl(text: string | undefined): text is string {
  const protocol = text === undefined ? undefined : URL.parse(text)?.protocol;
  return protocol === 'http:' || protocol === 'https:';
}

/** Returns the time of the build, in seconds since the epoch; 0 if unknown. */
export function builtAt(label: LabelReader): number {
  const seconds = Number(label('org.flatpak.timestamp'));
  return Number.isSafeInteger(seconds) && seconds > 0 && seconds < 253_402_300_800 ? seconds : 0;
}

/** Formats seconds since the epoch as ISO 8601; empty for 0. */
export function isoSeconds(seconds: number): string {
  return seconds === 0 ? '' : new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

/** Decodes a label that holds a text as a GVariant of the type `v` in base64; empty if it holds anything else. */
function variantText(value: string | undefined): string {
  const bytes = Buffer.from((value ?? '').slice(0, 16_384), 'base64');
  return bytes.subarray(-3).equals(TEXT_END) ? bytes.subarray(0, -3).toString() : '';
}

/** Characters of a notice. */
const MAX_NOTICE = 1000;

/** End-of-life notice of an app; both texts are empty if it has none. */
export interface EndOfLife {
  /** The reason. */
  readonly endOfLife: string;
  /** The ref that takes its place. */
  readonly replacedBy: string;
}

/** Reads the end-of-life notice of an image. */
export function endOfLifeOf(label: LabelReader): EndOfLife {
  const notice = (key: string): string =>
    variantText(label(`org.flatpak.commit-metadata.ostree.${key}`)).slice(0, MAX_NOTICE);
  return { endOfLife: notice('endoflife'), replacedBy: notice('endoflife-rebase') };
}

/** End of a GVariant `v` with a text: its NUL, a NUL before the type, and the type `s`. */
const TEXT_END = Buffer.from([0, 0, 's'.charCodeAt(0)]);
