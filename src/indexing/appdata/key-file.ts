/** Key files, as GLib reads them: what `org.flatpak.metadata` is (flatpak-metadata(5)). */

const MAX_LENGTH = 1024 * 1024;

/** Values by key, by group. */
export type KeyFile = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Reads a key file; lines that are none of its kind are passed over, and translations (`key[lang]`) too. */
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

/** The values of a list, which are separated by semicolons. */
export function listOf(value: string | undefined): readonly string[] {
  return (value ?? '').split(/(?<!\\);/).map((entry) => entry.replaceAll('\\;', ';').trim()).filter((entry) => entry !== '');
}
