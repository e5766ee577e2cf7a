/** Writes configuration files for tests, and reads them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { ConfigError } from '../../src/config/problems.ts';
import type { Config } from '../../src/config/config.ts';
import type { Problem } from '../../src/config/problems.ts';
import { readConfig } from '../../src/config/read-config.ts';
import type { Environment } from '../../src/config/replace-variables.ts';

/** A folder that goes away with the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'config-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** The path of `config.yaml` in a folder of its own, with `content`; other files beside it. */
export function writeConfig(
  t: TestContext,
  content: string | Uint8Array,
  beside: Readonly<Record<string, string>> = {},
): string {
  const folder = temporaryFolder(t);
  for (const [name, text] of Object.entries(beside)) writeFileSync(join(folder, name), text);
  const file = join(folder, 'config.yaml');
  writeFileSync(file, content);
  return file;
}

/** The configuration that `text` gives. */
export function configOf(
  t: TestContext,
  text: string,
  {
    environment = {},
    beside = {},
  }: { readonly environment?: Environment; readonly beside?: Readonly<Record<string, string>> } = {},
): Config {
  return readConfig(writeConfig(t, text, beside), environment);
}

/** The error that reading `file` ends with; fails if it is another one or none. */
export function configError(file: string, environment: Environment = {}): ConfigError {
  try {
    readConfig(file, environment);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error(`${file} was read without a problem`);
}

/** The problems of `file` without its name. */
export function problemsOf(file: string, environment: Environment = {}): readonly Omit<Problem, 'file'>[] {
  return configError(file, environment).problems.map(({ file: _file, ...problem }) => problem);
}

/** An index that needs nothing else. */
export const INDEX = 'indexes: {all: {registry: https://registry.example.org}}\n';
