/** Reads `Link` headers (RFC 8288, section 3), by which registries name the next page. */

const TARGET = /[\s,]*<([^>]*)>/y;
const PARAMETER = /\s*;\s*([^\s=;,"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/y;

/** The target of the first link whose relation is `next`, else of the first without any; `undefined` if there is none, whatever `header` is. */
export function nextLink(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  let unrelated: string | undefined;
  let position = 0;
  for (;;) {
    TARGET.lastIndex = position;
    const target = TARGET.exec(header);
    if (target === null) return unrelated;
    position = TARGET.lastIndex;
    let relations: string | undefined;
    for (;;) {
      PARAMETER.lastIndex = position;
      const parameter = PARAMETER.exec(header);
      if (parameter === null) break;
      position = PARAMETER.lastIndex;
      if (parameter[1]?.toLowerCase() === 'rel') relations ??= parameter[2] ?? parameter[3] ?? '';
    }
    if (relations === undefined) unrelated ??= target[1];
    else if (relations.toLowerCase().split(/\s+/).includes('next')) return target[1];
  }
}
