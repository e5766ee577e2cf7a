/** Reads `WWW-Authenticate` headers (RFC 9110, section 11.6.1). */

/** A challenge of a registry. */
export interface Challenge {
  /** The scheme in lower case: `basic`, `bearer`. */
  readonly scheme: string;
  /** Parameters by their names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const SEPARATOR = /[\s,]*/y;
const PARAMETER = new RegExp(`(${TOKEN})[ \\t]*=[ \\t]*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))`, 'y');
const SCHEME = new RegExp(`(${TOKEN})(?:[ \\t]+[A-Za-z0-9._~+/-]+=*(?=[ \\t]*(?:,|$)))?`, 'y');

/** The challenges of a header in their order, up to the first invalid one. */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let position = 0;
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    const found = pattern.exec(header);
    if (found !== null) position = pattern.lastIndex;
    return found;
  };
  while (position < header.length) {
    match(SEPARATOR);
    const parameter = match(PARAMETER);
    const current = challenges.at(-1);
    if (parameter !== null && current !== undefined) {
      const value = parameter[2]?.replaceAll(/\\(.)/gs, '$1') ?? parameter[3] ?? '';
      current.parameters.set((parameter[1] ?? '').toLowerCase(), value);
      continue;
    }
    const scheme = match(SCHEME)?.[1];
    if (parameter !== null || scheme === undefined) break;
    challenges.push({ scheme: scheme.toLowerCase(), parameters: new Map() });
  }
  return challenges;
}
