/** The labels that Flatpak gives to an image of an app. */

export interface FlatpakApp {
  readonly id: string;
  readonly name?: string;
  readonly summary?: string;
  readonly developer?: string;
  readonly keywords?: readonly string[];
  readonly categories?: readonly string[];
  /** Further elements of the app data, such as `<url>`. */
  readonly appdata?: string;
  /** Markup of the description. */
  readonly description?: string;
  /** Elements of its releases, the newest first; one release if absent. */
  readonly releases?: string;
  /** `app` if absent. */
  readonly type?: 'app' | 'runtime';
  readonly branch?: string;
  /** Flatpak's name; `x86_64` if absent. */
  readonly architecture?: string;
  /** More lines of the metadata, such as `[Context]` and what is in it. */
  readonly metadata?: string;
  /** Seconds since the epoch. */
  readonly timestamp?: number;
  readonly icon?: Buffer | undefined;
  /** Why it is at its end of life. */
  readonly endOfLife?: string | undefined;
  /** The ref that takes its place. */
  readonly replacedBy?: string | undefined;
}

export function flatpakLabels({
  id,
  name = id,
  summary = '',
  developer = '',
  keywords = [],
  categories = [],
  appdata = '',
  description = '',
  releases = '<release version="1.2" date="2025-01-01"><description><p>Better.</p></description></release>',
  type = 'app',
  branch = 'stable',
  architecture = 'x86_64',
  metadata = '',
  timestamp = 1_735_732_800,
  icon,
  endOfLife,
  replacedBy,
}: FlatpakApp): Record<string, string> {
  const group = type === 'app' ? 'Application' : 'Runtime';
  return {
    'org.flatpak.ref': `${type}/${id}/${architecture}/${branch}`,
    'org.flatpak.metadata': `[${group}]\nname=${id}\nruntime=org.example.Platform/${architecture}/stable\n${metadata}\n`,
    'org.flatpak.timestamp': String(timestamp),
    'org.flatpak.installed-size': '2097152',
    'org.flatpak.download-size': '1048576',
    'org.freedesktop.appstream.appdata': `<?xml version="1.0" encoding="UTF-8"?><components><component type="desktop-application"><id>${xml(id)}</id><name>${xml(name)}</name><summary>${xml(summary)}</summary><developer_name>${xml(developer)}</developer_name><description>${description}</description><keywords>${keywords.map((keyword) => `<keyword>${xml(keyword)}</keyword>`).join('')}</keywords><categories>${categories.map((category) => `<category>${xml(category)}</category>`).join('')}</categories>${appdata}<releases>${releases}</releases></component></components>`,
    ...(icon !== undefined && {
      'org.freedesktop.appstream.icon-128': `data:image/png;base64,${icon.toString('base64')}`,
    }),
    ...(endOfLife !== undefined && { 'org.flatpak.commit-metadata.ostree.endoflife': variant(endOfLife) }),
    ...(replacedBy !== undefined && { 'org.flatpak.commit-metadata.ostree.endoflife-rebase': variant(replacedBy) }),
  };
}

/** A GVariant of the type `v` that holds a text, in base64. */
function variant(text: string): string {
  return Buffer.concat([Buffer.from(text), Buffer.from([0, 0, 0x73])]).toString('base64');
}

/** `text` as XML has it in an element or an attribute. */
export function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
