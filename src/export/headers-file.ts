/** `_headers`: the headers of exported files, for hosts that read them from there (Cloudflare Pages, Netlify). */
import type { Headers } from '../server/documents/served-index.ts';

/**
 * Formats rules. No two of them may match one path, because such hosts join the values of both.
 * @param rules headers by paths, which may end with `*`
 * @param basePath what all paths begin with
 */
export function headersFile(rules: ReadonlyMap<string, Headers>, basePath: string): string {
  const lines = [...rules].flatMap(([path, headers]) => [
    basePath + path,
    ...Object.entries(headers).map(([name, value]) => `  ${name}: ${value}`),
  ]);
  return `${lines.join('\n')}\n`;
}
