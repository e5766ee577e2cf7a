/** Content negotiation by encoding (RFC 9110, section 12.5.3). */

/** Content codings (RFC 9110, section 8.4.1), the most compact first. */
export const ENCODINGS = ['gzip', 'identity'] as const;
/** One of {@link ENCODINGS}. */
export type Encoding = (typeof ENCODINGS)[number];

/** Number of distinct headers to remember; clients send few. */
const MAX_REMEMBERED = 256;
const ALIASES: Readonly<Record<string, string>> = { 'x-gzip': 'gzip' };

/** Parses `Accept-Encoding`, and caches the result by header. */
export class AcceptEncoding {
  readonly #known = new Map<string, readonly Encoding[]>();

  /**
   * Returns the encodings that `header` accepts, the best first: by q-value, then by size. `identity` is always
   * included, last if it was refused.
   */
  preferences(header: string | undefined): readonly Encoding[] {
    if (header === undefined) return ['identity'];
    let preferences = this.#known.get(header);
    if (preferences === undefined) {
      preferences = parse(header);
      if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
      this.#known.set(header, preferences);
    }
    return preferences;
  }
}

function parse(header: string): readonly Encoding[] {
  const qualities = new Map<string, number>();
  for (const element of header.toLowerCase().split(',')) {
    const [coding = '', ...parameters] = element.split(';').map((part) => part.trim());
    const q = parameters.find((parameter) => parameter.startsWith('q='));
    const quality = q === undefined ? 1 : Number(q.slice(2));
    if (coding !== '') qualities.set(ALIASES[coding] ?? coding, Number.isFinite(quality) ? quality : 0);
  }
  const others = qualities.get('*') ?? 0;
  // Not mentioned, identity is acceptable, but less than any encoding that is.
  const qualityOf = (encoding: Encoding): number =>
    qualities.get(encoding) ?? (encoding === 'identity' ? Math.max(others, 0.001) : others);
  const accepted = ENCODINGS.filter((encoding) => encoding !== 'identity' && qualityOf(encoding) > 0);
  const sorted = [...accepted, 'identity' as const].toSorted((a, b) => qualityOf(b) - qualityOf(a));
  return sorted;
}
