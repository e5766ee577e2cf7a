/** The path below which the server answers as well: that of `server.base_url`, which a proxy in front may strip or not. */

/** `asked` as it is without `basePath`, which most likely a proxy has stripped where it is not there. */
export function withoutBasePath(asked: string, basePath: string): string {
  // As everywhere in a path, doubled slashes count as one.
  const url = asked.replace(/^[^?]*/, (path) => path.replaceAll(/\/{2,}/g, '/'));
  if (basePath === '' || !url.startsWith(basePath)) return url;
  const rest = url.slice(basePath.length);
  if (rest === '' || rest.startsWith('?')) return `/${rest}`;
  return rest.startsWith('/') ? rest : url;
}
