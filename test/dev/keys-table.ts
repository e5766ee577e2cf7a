/** `node test/dev/keys-table.ts`: writes the table of all keys in docs/configuration.md, from the schema. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { configKeys } from '../../src/config/config-keys.ts';

const PAGE = join(import.meta.dirname, '../../docs/configuration.md');

/** The table of all keys, in Markdown. */
export function keysTable(): string {
  return [
    '| key | default | meaning |',
    '| --- | --- | --- |',
    ...configKeys().map(({ path, default: preset, description }) => `| \`${path}\` | ${preset} | ${description} |`),
  ].join('\n');
}

if (import.meta.main) {
  const page = readFileSync(PAGE, 'utf8');
  writeFileSync(
    PAGE,
    page.replace(/(?<=<!-- keys -->\n)[^]*(?=\n<!-- \/keys -->)/, () => keysTable()),
  );
}
