/** Writes licenses in words (SPDX Specification 2.3, annex D). */

/** Names of licenses by their SPDX identifiers, as on the SPDX License List; of those that apps have. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ['0BSD', 'BSD Zero Clause License'],
  ['Apache-2.0', 'Apache License 2.0'],
  ['Artistic-2.0', 'Artistic License 2.0'],
  ['BSD-2-Clause', 'BSD 2-Clause License'],
  ['BSD-3-Clause', 'BSD 3-Clause License'],
  ['BSL-1.0', 'Boost Software License 1.0'],
  ['CC-BY-3.0', 'Creative Commons Attribution 3.0'],
  ['CC-BY-4.0', 'Creative Commons Attribution 4.0'],
  ['CC-BY-SA-3.0', 'Creative Commons Attribution Share Alike 3.0'],
  ['CC-BY-SA-4.0', 'Creative Commons Attribution Share Alike 4.0'],
  ['CC0-1.0', 'Creative Commons Zero 1.0'],
  ['CDDL-1.0', 'Common Development and Distribution License 1.0'],
  ['EPL-2.0', 'Eclipse Public License 2.0'],
  ['EUPL-1.2', 'European Union Public License 1.2'],
  ['FSFAP', 'FSF All Permissive License'],
  ['ISC', 'ISC License'],
  ['MIT', 'MIT License'],
  ['MPL-1.1', 'Mozilla Public License 1.1'],
  ['MPL-2.0', 'Mozilla Public License 2.0'],
  ['MS-PL', 'Microsoft Public License'],
  ['OFL-1.1', 'SIL Open Font License 1.1'],
  ['PSF-2.0', 'Python Software Foundation License 2.0'],
  ['Python-2.0', 'Python License 2.0'],
  ['Unlicense', 'The Unlicense'],
  ['Vim', 'Vim License'],
  ['WTFPL', 'Do What The F*ck You Want To Public License'],
  ['Zlib', 'zlib License'],
]);

/** Names of the licenses of the GNU project, whose identifiers say which versions. */
const GNU: Readonly<Record<string, string>> = {
  GPL: 'GNU General Public License',
  LGPL: 'GNU Lesser General Public License',
  AGPL: 'GNU Affero General Public License',
  GFDL: 'GNU Free Documentation License',
};

const WORDS: Readonly<Record<string, string>> = { AND: 'and', OR: 'or', WITH: 'with' };

/**
 * Writes a license expression in words, such as "GNU General Public License v3.0 or later"; identifiers that are not
 * known stay as they are.
 */
export function licenseName(expression: string): string {
  return expression
    .replaceAll(/[()]/g, ' $& ')
    .split(/\s+/)
    .map((token) => WORDS[token.toUpperCase()] ?? nameOf(token))
    .join(' ')
    .replaceAll(/\( | \)/g, (bracket) => bracket.trim())
    .trim();
}

function nameOf(id: string): string {
  const known = NAMES.get(id);
  if (known !== undefined) return known;
  if (/^LicenseRef-proprietary(?:=|$)/i.test(id)) return 'Proprietary';
  if (/^LicenseRef-free(?:=|$)/i.test(id)) return 'Free';
  const [, family = '', version, later] = /^(A?GPL|LGPL|GFDL)-(\d+\.\d+)(\+|-or-later|-only)?$/.exec(id) ?? [];
  if (version === undefined) return id;
  return `${GNU[family]} v${version}${later === undefined ? '' : later === '-only' ? ' only' : ' or later'}`;
}
