/** Path that all paths of the server begin with: `/`, or longer behind a proxy. */
export const ROOT = new URL('../', import.meta.url).pathname;
