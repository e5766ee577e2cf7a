/** URLs in logs and errors. */

const ASCII = /%[0-7][\da-f]/gi;
/** Whatever is below `/events/`, however the URL spells that, and below whichever path the service is. */
const TOKEN = /(\/events\/+)[^/?][^?]*/;

/** Returns a URL as it may be shown: that of a notification may end with the token. */
export function shownUrl(url: string): string {
  const decoded = url.replaceAll(ASCII, (character) => decodeURIComponent(character));
  return TOKEN.test(decoded) ? decoded.replace(TOKEN, '$1[secret]') : url;
}
