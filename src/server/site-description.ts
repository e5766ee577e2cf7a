/** An index as people know it: the texts of its configuration, for the page and for the files that add it to Flatpak. */

export interface IndexDescription {
  readonly name: string;
  /** The name, unless the configuration has a title. */
  readonly title: string;
  readonly comment?: string | undefined;
  readonly description?: string | undefined;
  readonly homepage?: string | undefined;
  readonly icon?: string | undefined;
  /** The public key that its apps are signed with: binary, in base64. */
  readonly gpgKey?: string | undefined;
  /** What clients are told to call their remote. */
  readonly remoteName: string;
  /** Of its apps and runtimes, for `flatpak preinstall`. */
  readonly collectionId?: string | undefined;
  /** The URL of a `.flatpakrepo` that has the runtimes. */
  readonly runtimeRepo?: string | undefined;
  /** There are signatures at `/NAME/signatures/`. */
  readonly signatures: boolean;
}

export interface SiteDescription {
  /** In the order of the configuration. */
  readonly indexes: readonly IndexDescription[];
  /** The public URL, without a slash at its end; `undefined` for what a request says. */
  readonly baseUrl: string | undefined;
}
