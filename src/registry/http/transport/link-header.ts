/** Reads `Link` headers (RFC 8288, section 3), by which registries name the next page. */

const TARGET = /[\s,]*<([^>]*)>/y;
const PARAMETER = /\s*;\s*([^\s=;,"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/y;

/** The target of the first link whose relation is `next`; `undefined` if there is none, whatever `header` is. */
export function nextLink(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  let position = 0;
  for (;;) {
    TARGET.lastIndex = position;
    const target = TARGET.exec(header);
    if (target === null) return undefined;
    position = TARGET.lastIndex;
    let relations = '';
    for (;;) {
      PARAMETER.lastIndex = position;
      const parameter = PARAMETER.exec(header);
      if (parameter === null) break;
      position = PARAMETER.lastIndex;
      if (relations === '' && parameter[1]?.toLowerCase() === 'rel') relations = parameter[2] ?? parameter[3] ?? '';
    }
    if (relations.toLowerCase().split(/\s+/).includes('next')) return target[1];
  }
}
