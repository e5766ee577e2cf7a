/** The program that is measured, as it is published. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Regindexer, type RegindexerOptions, startRegindexer } from '../peers/regindexer.ts';

export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** The options of Node.js with which it says that it is run, in its first line. */
export const NODE_OPTIONS: readonly string[] =
  readFileSync(CLI, 'utf8')
    .split('\n', 1)[0]
    ?.split(' ')
    .filter((word) => word.startsWith('--')) ?? [];

/** The arguments of Node.js that run it. */
export const PROGRAM: readonly string[] = [...NODE_OPTIONS, CLI];

/** Starts the server; see {@link startRegindexer}. */
export function startProgram(options: RegindexerOptions): Promise<Regindexer> {
  return startRegindexer({ ...options, program: PROGRAM });
}
