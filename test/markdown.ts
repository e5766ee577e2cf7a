/** Parts of the pages of the documentation, to compare with the program. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const ROOT: string = resolve(import.meta.dirname, '..');
/** All pages, by their paths in the repository. */
export const PAGES: readonly string[] = [
  'README.md',
  'SECURITY.md',
  ...globSync('docs/*.md', { cwd: ROOT }).toSorted(),
];

/** The text of a page. */
export function readPage(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** The text between `<!-- NAME -->` and `<!-- /NAME -->`. */
export function marked(page: string, name: string): string {
  const [, text] =
    new RegExp(`<!-- ${name} -->\\n([^]*)<!-- /${name} -->`).exec(readPage(page)) ??
    assert.fail(`no ${name} in ${page}`);
  return text ?? '';
}

/** The blocks of code in `language`. */
export function blocks(language: string, text: string): readonly string[] {
  return [...text.matchAll(/^( *)```(\w+)\n([^]*?)^ *```$/gm)].flatMap(([, indent = '', its, code = '']) =>
    its === language ? [code.replaceAll(new RegExp(`^${indent}`, 'gm'), '')] : [],
  );
}

/** The cells of each row of the tables in `text`, without their heads. */
export function rows(text: string): readonly (readonly string[])[] {
  return [...text.matchAll(/^\|(?! ---)(.*)\|$(?!\n\| ---)/gm)].map(([, row = '']) =>
    row.split('|').map((cell) => cell.trim()),
  );
}

/** The texts in backticks. */
export function codeIn(text: string | undefined): readonly string[] {
  return Array.from(text?.matchAll(/`([^`]+)`/g) ?? [], ([, code = '']) => code);
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchors(text: string): ReadonlySet<string> {
  const prose = text.replaceAll(/^( *)```[^]*?^ *```$/gm, '');
  return new Set(
    Array.from(prose.matchAll(/^#+ (.+)$/gm), ([, title = '']) =>
      title
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    ),
  );
}
