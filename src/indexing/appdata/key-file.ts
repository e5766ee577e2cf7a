/** Key files as GLib reads them, such as `org.flatpak.metadata` (flatpak-metadata(5)). */

/** Characters that are read. */
const MAX_LENGTH = 1024 * 1024;

/** Values by key, by group. */
export type KeyFile = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Parses a key file; skips invalid lines and translations (`key[lang]`). */
export function parseKeyFile(text: string): KeyFile {
  const groups = new Map<string, Map<string, string>>();
  let group: Map<string, string> | undefined;
  for (const line of text.slice(0, MAX_LENGTH).split('\n')) {
    const trimmed = line.trim();
    if (trimmed.startsWith('#')) continue;
    if (trimmed.startsWith('[') && trimmed.endsWith(']')) {
      const name = trimmed.slice(1, -1);
      group = groups.get(name) ?? new Map();
      groups.set(name, group);
      continue;
    }
    const equals = trimmed.indexOf('=');
    if (group === undefined || equals < 1) continue;
    const key = trimmed.slice(0, equals).trim();
    if (!key.endsWith(']')) group.set(key, trimmed.slice(equals + 1).trim());
  }
  return groups;
}

/** Splits a list, whose values are separated by semicolons. */
export function listOf(value: string | undefined): readonly string[] {
  return (value ?? '')
    .split(/(?<!\\);/)
    .map((entry) => entry.replaceAll('\\;', ';').trim())
    .filter((entry) => entry !== '');
}
