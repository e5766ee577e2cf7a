/**
 * Adds icon URLs to an app's appdata, for software centres that do not find the icons that Flatpak stores for OCI
 * remotes.
 */
import type { QualifiedTag, Tag } from 'sax';
import { isOfApp, MAX_LENGTH } from './parse-appdata.ts';
import { xmlParser } from './xml-parser.ts';

/** A remote icon (freedesktop.org, AppStream 1.0, "icon"). */
export interface RemoteIcon {
  /** Its width and height, in pixels. */
  readonly size: number;
  /** An absolute URL. */
  readonly url: string;
}

/**
 * Adds `icons` to the component of the app `id`; returns `xml` unchanged if there is none, it is not valid, or it has
 * remote icons already.
 */
export function withRemoteIcons(xml: string, id: string, icons: readonly RemoteIcon[]): string {
  if (icons.length === 0 || xml.length > MAX_LENGTH) return xml;
  const end = endOfComponent(xml, id);
  if (end === undefined) return xml;
  const elements = icons.map(
    ({ size, url }) => `<icon type="remote" width="${size}" height="${size}">${escaped(url)}</icon>`,
  );
  return xml.slice(0, end) + elements.join('') + xml.slice(end);
}

/** Returns the position of the component's end tag; `undefined` if no icons can be added. */
function endOfComponent(xml: string, id: string): number | undefined {
  const path: string[] = [];
  let depth = 0;
  let own = '';
  let hasRemote = false;
  let end: number | undefined;
  let failed = false;
  const parser = xmlParser(
    { position: true },
    {
      onopentag: ({ name, attributes }: Tag | QualifiedTag) => {
        path.push(name);
        if (depth === 0 && name === 'component') {
          depth = path.length;
          own = '';
          hasRemote = false;
        }
        if (path.length === depth + 1 && name === 'icon' && attributes['type'] === 'remote') hasRemote = true;
      },
      ontext: (text: string) => {
        if (depth > 0 && path.length === depth + 1 && path.at(-1) === 'id') own += text;
      },
      onclosetag: () => {
        if (path.length === depth) {
          // A self-closing tag has no end tag.
          const start = parser.startTagPosition - 1;
          if (isOfApp(own.trim(), id) && !hasRemote && xml.startsWith('</', start)) end ??= start;
          depth = 0;
        }
        path.pop();
      },
      onerror: () => {
        failed = true;
      },
    },
  );
  parser.write(xml);
  if (!failed) parser.close();
  return failed ? undefined : end;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

function escaped(text: string): string {
  return text.replace(/[&<>]/g, (character) => ENTITIES[character] ?? '');
}
