/** What an app's AppStream metadata tells people (freedesktop.org, AppStream 1.0, "Upstream Metadata"). */

/** A part of a text: plain, emphasized or code. */
export type Span = string | { readonly kind: 'em' | 'code'; readonly text: string };

/** A part of a description: a paragraph, or a list of which each entry is a text. */
export type Block = { readonly kind: 'paragraph'; readonly text: readonly Span[] } | { readonly kind: 'list' | 'numbered'; readonly entries: readonly (readonly Span[])[] };

/** One version that was released. */
export interface Release {
  readonly version: string;
  /** ISO 8601, a day; empty if it is not told. */
  readonly date: string;
  readonly notes: readonly Block[];
}

/** All texts are plain and untranslated; empty where nothing is told. */
export interface Appdata {
  readonly name: string;
  readonly summary: string;
  readonly developer: string;
  readonly license: string;
  /** An `http` or `https` URL. */
  readonly homepage: string;
  /** The `type` of the component, such as `desktop-application`, `runtime` or `addon`. */
  readonly type: string;
  readonly keywords: readonly string[];
  readonly description: readonly Block[];
  /** In the order of the document, which is the newest first. */
  readonly releases: readonly Release[];
}

export const NO_APPDATA: Appdata = { name: '', summary: '', developer: '', license: '', homepage: '', type: '', keywords: [], description: [], releases: [] };
