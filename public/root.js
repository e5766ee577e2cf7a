/** Where the server's paths begin, as this browser sees them: `/`, or with a path before it. */
export const ROOT = new URL('../', import.meta.url).pathname;
