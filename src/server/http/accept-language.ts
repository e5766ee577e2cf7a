/** Languages that a client prefers (RFC 9110, section 12.5.4). */

/** Characters of a header that are read. */
const MAX_LENGTH = 1000;

/** Returns the language tags of an `Accept-Language`, the most wanted first; without `*` and those with weight 0. */
export function acceptedLanguages(header: string | undefined): readonly string[] {
  return (header ?? '')
    .slice(0, MAX_LENGTH)
    .split(',')
    .flatMap((entry) => {
      const [, tag, weight = '1'] = /^\s*([A-Za-z0-9-]+)\s*(?:;\s*q\s*=\s*([0-9.]+)\s*)?$/.exec(entry) ?? [];
      return tag === undefined || !(Number(weight) > 0) ? [] : [{ tag, weight: Number(weight) }];
    })
    .toSorted((a, b) => b.weight - a.weight)
    .map(({ tag }) => tag);
}
