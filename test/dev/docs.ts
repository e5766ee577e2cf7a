/** `npm run docs`: writes config.yaml and the table of keys in docs/configuration.md, both from the schema. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { IsObject, IsOptional, IsRecord, IsUnion, RecordValue, type TObject, type TSchema } from 'typebox';
import { stringify } from 'yaml';
import { configKeys, defaultText } from '../../src/config/config-keys.ts';
import { configSchema } from '../../src/config/schema.ts';
import { annotationsOf } from '../../src/config/value-types.ts';

/** What config.yaml sets, by the paths of the keys: with it, `npm start` shows the sample images. */
const SAMPLE: Readonly<Record<string, unknown>> = {
  'indexes.NAME.registry': 'oci:test/fixtures/images',
  'indexes.NAME.extract_icons': true,
  'indexes.NAME.title': 'Sample apps',
};

/** Names for what the user names. */
const NAMES: Readonly<Record<string, string>> = { NAME: 'apps', URL: 'https://registry.example.org' };

const HEAD = `# The configuration of regindexer. This one runs at once: it indexes the sample images of the repository.
#
# Every key is here. Those that are commented out show their default, or, where the comment says what that is, an example.
# Check a configuration with "regindexer --config FILE check".
#
# Relative paths start at this file's folder. Durations are 500ms, 30s, 5m, 1h or 1d; a bare number means seconds.
#
# In every text, \${NAME} is replaced by the environment variable NAME, and \${NAME:default} by "default" where NAME is
# not set; $\${ stands for the characters \${ themselves. Inside [ ] and { } such a text needs quotes. A key whose value
# (without quotes) is empty after that counts as left out: "admin_token: \${ADMIN_TOKEN:}".
`;

const WIDTH = 120;

/** The text of config.yaml. */
export function configYaml(): string {
  return [HEAD, ...entries(configSchema.properties, '')].join('\n') + '\n';
}

/** Sections and keys, with their comments; commented out where the sample has nothing of them. */
function entries(schemas: Readonly<Record<string, TSchema>>, path: string, all = false): readonly string[] {
  return Object.entries(schemas).flatMap(([name, schema], position) => {
    const own = path === '' ? name : `${path}.${name}`;
    const isShown = all || Object.keys(SAMPLE).some((key) => `${key}.`.startsWith(`${own}.`));
    const body = entry(NAMES[name] ?? name, schema, own, isShown ? all : true);
    return [
      ...(position === 0 ? [] : ['']),
      ...comment(schema, WIDTH - 2 * own.split('.').length),
      ...(isShown ? body : body.map((line) => `#${line}`)),
    ];
  });
}

function entry(name: string, schema: TSchema, path: string, all: boolean): readonly string[] {
  const section = sectionIn(schema);
  const inside = section?.properties ?? namedByUser(schema);
  if (inside !== undefined) return [`${name}:`, ...entries(inside, path, all).map((line) => line && `  ${line}`)];
  const { default: preset, example = preset } = annotationsOf(schema);
  const { [path]: value = example } = SAMPLE;
  if (value === undefined) throw new Error(`${path} has neither a default nor an example`);
  const isShort =
    typeof value === 'object' && Object.values(value as object).every((element) => typeof element !== 'object');
  const text = isShort
    ? `${name}: ${stringify(value, { collectionStyle: 'flow', flowCollectionPadding: false, lineWidth: 0 })}`
    : stringify({ [name]: value }, { lineWidth: 0 });
  return text.trim().split('\n');
}

/** A section, also one in place of which a word may stand. */
function sectionIn(schema: TSchema): TObject | undefined {
  return IsUnion(schema) ? schema.anyOf.find(IsObject) : IsObject(schema) ? schema : undefined;
}

/** The one section of a record of sections. */
function namedByUser(schema: TSchema): Readonly<Record<string, TSchema>> | undefined {
  const { placeholder } = annotationsOf(schema);
  return IsRecord(schema) && placeholder !== undefined ? { [placeholder]: RecordValue(schema) } : undefined;
}

function comment(schema: TSchema, width: number): readonly string[] {
  const { description, otherwise } = annotationsOf(schema);
  if (description === undefined) return [];
  // That of other keys stands there.
  const hasDefault =
    otherwise !== undefined || IsOptional(schema) || (IsUnion(schema) && sectionIn(schema) !== undefined);
  const words = `${description}${hasDefault ? ` Default: ${defaultText(schema)}.` : ''}`.split(' ');
  const lines: string[] = [];
  for (const word of words) {
    const longer = `${lines.at(-1) ?? '#'} ${word}`;
    if (lines.length > 0 && longer.length <= width) lines[lines.length - 1] = longer;
    else lines.push(`# ${word}`);
  }
  return lines;
}

/** The table of all keys, in Markdown. */
export function keysTable(): string {
  return [
    '| key | default | meaning |',
    '| --- | --- | --- |',
    ...configKeys().map(({ path, default: preset, description }) => `| \`${path}\` | ${preset} | ${description} |`),
  ].join('\n');
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '../..');
  const page = join(root, 'docs/configuration.md');
  writeFileSync(join(root, 'config.yaml'), configYaml());
  writeFileSync(
    page,
    readFileSync(page, 'utf8').replace(/(?<=<!-- keys -->\n)[^]*(?=\n<!-- \/keys -->)/, () => keysTable()),
  );
}
