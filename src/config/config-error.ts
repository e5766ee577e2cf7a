/** The error of a configuration that cannot be used. */
import type { Problem } from './problem.ts';

/**
 * Holds every problem of the file. Its message has a line for each:
 * `FILE:LINE:COLUMN: path.to.key: what is wrong, what was expected`.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[], options?: ErrorOptions) {
    super(problems.map(line).join('\n'), options);
    this.problems = problems;
  }
}

function line({ file, line: lineNumber, column, path, message }: Problem): string {
  return [`${file}:${lineNumber}:${column}`, ...(path === '' ? [] : [path]), message].join(': ');
}
