/** Where the server's paths begin for clients. */

/** The path of `baseUrl`, without a slash at its end. */
export function basePathOf(baseUrl: string | undefined): string {
  return baseUrl === undefined ? '' : new URL(baseUrl).pathname.replace(/\/{2,}/g, '/').replace(/\/$/, '');
}

/** `reference` as clients need it: a path of this server stands below `basePath`, also where it was written without it. */
export function belowBasePath(reference: string, basePath: string): string {
  const isPath = reference.startsWith('/') && !reference.startsWith('//');
  return isPath && !`${reference}/`.startsWith(`${basePath}/`) ? basePath + reference : reference;
}
