/** Names an app's icons in its app data, for software centres that do not look where Flatpak puts those of OCI remotes. */
import type { QualifiedTag, Tag } from 'sax';
import { isOfApp, MAX_LENGTH } from './parse-appdata.ts';
import { xmlParser } from './xml-parser.ts';

/** An icon as AppStream names it (freedesktop.org, AppStream 1.0, "icon"). */
export interface RemoteIcon {
  /** Its width and height, in pixels. */
  readonly size: number;
  /** A whole URL. */
  readonly url: string;
}

/** `xml` with `icons` in the component of the app `id`; as it is if there is none, it is damaged before its end, or it names remote icons itself. */
export function withRemoteIcons(xml: string, id: string, icons: readonly RemoteIcon[]): string {
  if (icons.length === 0 || xml.length > MAX_LENGTH) return xml;
  const end = endOfComponent(xml, id);
  if (end === undefined) return xml;
  const elements = icons.map(({ size, url }) => `<icon type="remote" width="${size}" height="${size}">${escaped(url)}</icon>`);
  return xml.slice(0, end) + elements.join('') + xml.slice(end);
}

/** Where the end tag of the component begins. */
function endOfComponent(xml: string, id: string): number | undefined {
  const path: string[] = [];
  let depth = 0;
  let own = '';
  let hasRemote = false;
  let end: number | undefined;
  let failed = false;
  const parser = xmlParser({ position: true }, {
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
        // A tag that ends itself has no end of its own.
        const start = parser.startTagPosition - 1;
        if (isOfApp(own.trim(), id) && !hasRemote && xml.startsWith('</', start)) end ??= start;
        depth = 0;
      }
      path.pop();
    },
    onerror: () => {
      failed = true;
    },
  });
  parser.write(xml);
  if (!failed) parser.close();
  return failed ? undefined : end;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

function escaped(text: string): string {
  return text.replace(/[&<>]/g, (character) => ENTITIES[character] ?? '');
}
