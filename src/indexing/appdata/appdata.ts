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
  /** Where its notes are on the web; empty if unknown. */
  readonly url: string;
}

/** Kinds of links that are read (AppStream 1.0, "url"). */
export const LINK_KINDS = [
  'homepage',
  'help',
  'faq',
  'bugtracker',
  'contact',
  'donation',
  'translate',
  'contribute',
  'vcs-browser',
] as const;

/** A link to a website of the app. */
export interface Link {
  readonly kind: (typeof LINK_KINDS)[number];
  /** An `http` or `https` URL. */
  readonly url: string;
}

/** A screenshot as the app data name it. */
export interface NamedScreenshot {
  readonly caption: string;
  readonly images: readonly NamedImage[];
}

/** One size of a screenshot. */
export interface NamedImage {
  readonly kind: 'source' | 'thumbnail';
  /** An `http` or `https` URL. */
  readonly url: string;
  /** In pixels, as the app data say; 0 if they do not. */
  readonly width: number;
  readonly height: number;
}

/** Answers of an app's author to the questions of OARS, by their id, such as `violence-cartoon`. */
export type ContentRating = Readonly<Record<string, string>>;

/** Texts of an app in one language; those that are not translated are absent. */
export interface AppTexts {
  readonly name?: string;
  readonly summary?: string;
  readonly developer?: string;
  readonly keywords?: readonly string[];
  readonly description?: readonly Block[];
  /** Notes of the newest release. */
  readonly notes?: readonly Block[];
  /** Captions of the screenshots, in their order. */
  readonly captions?: readonly string[];
}

/** Texts by BCP 47 language tag. */
export type Translations = Readonly<Record<string, AppTexts>>;

/** Metadata of one app. Texts are plain and untranslated; unknown ones are empty. */
export interface Appdata {
  readonly name: string;
  readonly summary: string;
  readonly developer: string;
  /** An SPDX license expression. */
  readonly license: string;
  /** The first link of each kind, in the order of {@link LINK_KINDS}. */
  readonly links: readonly Link[];
  /** The `type` of the component, such as `desktop-application`, `runtime` or `addon`. */
  readonly type: string;
  /** Names of the desktop menu specification, such as `AudioVideo`. */
  readonly categories: readonly string[];
  readonly keywords: readonly string[];
  readonly description: readonly Block[];
  /** In the order of the document: the newest first. */
  readonly releases: readonly Release[];
  /** The default one first. */
  readonly screenshots: readonly NamedScreenshot[];
  /** Absent if the author did not answer. */
  readonly contentRating: ContentRating | undefined;
  readonly translations: Translations;
}

/** Metadata in which nothing is known. */
export const NO_APPDATA: Appdata = {
  name: '',
  summary: '',
  developer: '',
  license: '',
  links: [],
  type: '',
  categories: [],
  keywords: [],
  description: [],
  releases: [],
  screenshots: [],
  contentRating: undefined,
  translations: {},
};
