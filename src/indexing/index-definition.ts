/** What one index takes from its registry and how it shows it. */
export interface IndexDefinition {
  readonly name: string;
  /** The `id` of the {@link RegistrySource} it is made from. */
  readonly registry: string;
  /** The `Registry` written into the index: a URL, or relative to the URL of the document. */
  readonly registryPublic: string;
  /** The file to write it to as well; absolute. */
  readonly output?: string | undefined;

  /** Globs, any of which must match a tag. */
  readonly tags: readonly string[];
  /** Globs of repositories to take; none means all. */
  readonly repositoryInclude: readonly string[];
  /** Globs of repositories to leave out. */
  readonly repositoryExclude: readonly string[];
  /** Globs, the most wanted first. With any, one image is shown for each Flatpak ref and architecture: see `prefer`. */
  readonly repositoryPriority: readonly string[];
  /** Keys that an image must all have. */
  readonly requiredAnnotations: readonly string[];
  readonly requiredLabels: readonly string[];
  /** GOARCH names; `undefined` means all. */
  readonly architectures?: readonly string[] | undefined;

  /** Leave out keys that start with `org.flatpak.` or `org.freedesktop.`. */
  readonly skipFlatpakAnnotations: boolean;
  readonly skipFlatpakLabels: boolean;
  /** Write icons to files and name these instead. */
  readonly extractIcons: boolean;
  /** What the paths of icons are appended to in app data, to name them there as well: a URL that ends with `/`. */
  readonly remoteIconsUri?: string | undefined;
  /** Whether image lists are shown as such, or their images as if each was tagged itself. */
  readonly lists: 'keep' | 'flatten';
  /** Show the Flatpak labels as annotations, for clients before Flatpak 1.6. */
  readonly flatpakAnnotations: boolean;
  /** Have clients ask for a token before they download. */
  readonly forceFlatpakToken: boolean;
}
