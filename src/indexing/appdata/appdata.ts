/** An app's AppStream metadata (freedesktop.org, AppStream 1.0, "Upstream Metadata"). */

/** A part of a text: plain, emphasized or code. */
export type Span = string | { readonly kind: 'em' | 'code'; readonly text: string };

/** A part of a description: a paragraph, or a list of texts. */
export type Block =
  | { readonly kind: 'paragraph'; readonly text: readonly Span[] }
  | { readonly kind: 'list' | 'numbered'; readonly entries: readonly (readonly Span[])[] };

/** One release of the app. */
export interface Release {
  readonly version: string;
  /** A day in ISO 8601; empty if unknown. */
  readonly date: string;
  readonly notes: readonly Block[];
}

/** Metadata of one app. Texts are plain and untranslated; unknown ones are empty. */
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
  /** In the order of the document: the newest first. */
  readonly releases: readonly Release[];
}

/** Metadata in which nothing is known. */
export const NO_APPDATA: Appdata = {
  name: '',
  summary: '',
  developer: '',
  license: '',
  homepage: '',
  type: '',
  keywords: [],
  description: [],
  releases: [],
};
