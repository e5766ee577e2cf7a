/** Definition of an index. */
import type { ScreenshotMode } from './screenshots/screenshots.ts';

/** Definition of one index: what it takes from its registry, and how it shows it. */
export interface IndexDefinition {
  readonly name: string;
  /** The `id` of its {@link RegistrySource}. */
  readonly registry: string;
  /** The `Registry` of the document: a URL, or a path relative to the document's URL. */
  readonly registryPublic: string;
  /** Absolute path of a file that the index is written to as well. */
  readonly output?: string | undefined;

  /** Globs of tags to take. */
  readonly tags: readonly string[];
  /** Globs of repositories to take; none means all. */
  readonly repositoryInclude: readonly string[];
  /** Globs of repositories to leave out. */
  readonly repositoryExclude: readonly string[];
  /**
   * Globs, the most wanted first. If there are any, one image is shown for each Flatpak ref and architecture: see
   * {@link prefer}.
   */
  readonly repositoryPriority: readonly string[];
  /** Keys, all of which an image must have. */
  readonly requiredAnnotations: readonly string[];
  readonly requiredLabels: readonly string[];
  /** GOARCH names; `undefined` means all. */
  readonly architectures?: readonly string[] | undefined;

  /** Leaves out keys that start with `org.flatpak.` or `org.freedesktop.`. */
  readonly skipFlatpakAnnotations: boolean;
  readonly skipFlatpakLabels: boolean;
  /** Writes icons to files, and shows their URIs instead. */
  readonly extractIcons: boolean;
  /** Base URL of the icons, ends with `/`: adds their URLs to the appdata. */
  readonly remoteIconsUri?: string | undefined;
  /** `proxy` fetches the screenshots of apps, and serves them from here. */
  readonly screenshots: ScreenshotMode;
  /** URL of the index's own picture, which is fetched with the screenshots. */
  readonly icon?: string | undefined;
  /** `flatten` shows the images of lists as images with the list's tags. */
  readonly lists: 'keep' | 'flatten';
  /** Shows Flatpak's labels as annotations, for clients before Flatpak 1.6. */
  readonly flatpakAnnotations: boolean;
  /** Deltas to the images that are shown, from those that they replaced; `undefined` for none. */
  readonly deltas?: DeltaDefinition | undefined;
  /** Makes clients ask for a token before they download. */
  readonly forceFlatpakToken: boolean;
}

/** Which deltas an index has, and how it names them. Sizes are in bytes. */
export interface DeltaDefinition {
  /** URL of the deltas, ends with `/`; `undefined` where clients pull from this server, which is then enough. */
  readonly url: string | undefined;
  /** How long after an image was replaced there is a delta from it, in milliseconds. */
  readonly keep: number;
  /** From how many replaced images there are deltas to one that is shown. */
  readonly max: number;
  /** Largest size of a delta, as a share of the layer that it leads to. */
  readonly maxRatio: number;
  /** Sizes of layers between which deltas are made. */
  readonly minSize: number;
  readonly maxLayer: number;
  /** Largest size of all deltas together. */
  readonly maxStore: number;
  /** Media type by which a delta is named. */
  readonly mediaType: string;
}
