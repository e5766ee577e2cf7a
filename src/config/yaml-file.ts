/** A YAML file: its document and its positions. */
import { LineCounter, parseDocument, visit, type Alias, type Document, type ErrorCode } from 'yaml';
import { ConfigError } from './problems.ts';
import { readTextFile } from './text-file.ts';

/** A file that was read and is one YAML document. */
export interface YamlFile {
  readonly text: string;
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
}

const LIMIT = 1024 * 1024;

/** Limit of aliases, and of the values that they stand for where anchors hold others. */
const MAX_ALIASES = 1000;

/**
 * Reads a YAML 1.2 file of at most 1 MiB. Keys that are given twice are not looked for.
 * @throws ConfigError with one problem for what makes the file unreadable, and one for each tag and directive that is
 * not known.
 */
export function readYamlFile(file: string): YamlFile {
  const whole = (message: string) => ({ file, line: 1, column: 1, path: '', message });
  const read = readTextFile(file, LIMIT);
  if ('fault' in read) {
    throw new ConfigError(
      [whole(`${read.fault}, expected a configuration file (YAML): put one there, or name another with --config`)],
      { cause: read.cause },
    );
  }

  const lines = new LineCounter();
  const document = parseDocument(read.text, {
    lineCounter: lines,
    logLevel: 'error',
    prettyErrors: false,
    resolveKnownTags: false,
    uniqueKeys: false,
  });
  const problem = (offset: number, message: string) => {
    const { line, col } = lines.linePos(offset);
    return { file, line, column: col, path: '', message };
  };
  // What follows the first error is most often its consequence. The library's own words may hold a password.
  const problems = [...document.errors.slice(0, 1), ...document.warnings].map(({ pos, code }) =>
    problem(pos[0], FAULTS[code]),
  );
  const alias = problems.length === 0 ? explosion(document) : undefined;
  if (alias !== undefined) problems.push(problem(alias.range?.[0] ?? 0, FAULTS.RESOURCE_EXHAUSTION));
  if (problems.length === 0 && document.contents === null) {
    problems.push(whole('is empty, expected a configuration with at least "indexes"'));
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { text: read.text, document, lines };
}

/** The first alias, if aliases make the document too large; `undefined` if they do not. */
function explosion(document: Document.Parsed): Alias | undefined {
  const aliases: Alias[] = [];
  visit(document, {
    Alias: (_key, alias) => {
      aliases.push(alias);
    },
  });
  // The library takes a time that grows with the square of their number to look closer.
  if (aliases.length > MAX_ALIASES) return aliases[0];
  try {
    document.toJS({ maxAliasCount: MAX_ALIASES });
    return undefined;
  } catch (error) {
    // An alias without anchor is named where its value is used.
    return error instanceof ReferenceError && error.message.startsWith('Unresolved alias') ? undefined : aliases[0];
  }
}

const QUOTES = 'expected text with such characters, and ${…} inside [ ] or { }, to stand in quotes';

/** Words for each of the library's errors. */
const FAULTS: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: 'an alias has an anchor or a tag, expected the alias alone',
  BAD_ALIAS: 'an anchor or alias has no usable name, expected &NAME or *NAME',
  BAD_COLLECTION_TYPE: 'a tag does not fit its value, expected no tag',
  BAD_DIRECTIVE: 'a directive is not known, expected none or %YAML 1.2',
  BAD_DQ_ESCAPE: 'an escape sequence is not known, expected "\\\\" for a backslash, or single quotes',
  BAD_INDENT:
    'the indentation is wrong, expected keys that belong together to start in the same column, and each [ and { to be closed',
  BAD_PROP_ORDER: 'an anchor or tag stands in the wrong place, expected it right before its value',
  BAD_SCALAR_START: 'the text starts with a character that YAML reserves, expected the text in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a key stands inside a value, expected text that holds ": " to stand in quotes',
  BLOCK_IN_FLOW: 'an indented block stands inside [ ] or { }, expected it outside',
  DUPLICATE_KEY: 'a key is given twice, expected it once',
  IMPOSSIBLE: 'this is not YAML, expected "key: value"',
  KEY_OVER_1024_CHARS: 'a key is longer than 1024 characters, expected a shorter one',
  MISSING_CHAR: `a colon, comma, quote or bracket is missing, ${QUOTES}`,
  MULTILINE_IMPLICIT_KEY: 'a key has several lines, expected "key: value" (is a colon missing?)',
  MULTIPLE_ANCHORS: 'a value has two anchors, expected one',
  MULTIPLE_DOCS: 'a second document starts here, expected only one in a file',
  MULTIPLE_TAGS: 'a value has two tags, expected none',
  NON_STRING_KEY: 'a key is not text, expected a text',
  RESOURCE_EXHAUSTION:
    'anchors or brackets are nested too deeply, or anchors used too often, expected a plain configuration',
  TAB_AS_INDENT: 'a tab is used for indentation, expected spaces',
  TAG_RESOLVE_FAILED: 'a tag is not known here, expected none (a text that starts with "!" needs quotes)',
  UNEXPECTED_TOKEN: `there is text where none belongs, ${QUOTES}`,
};
