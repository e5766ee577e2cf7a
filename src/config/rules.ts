/** What a value in the configuration file may be: texts, numbers, globs, durations, files. */
import { basename } from 'node:path';
import { Type, type TSchemaOptions } from 'typebox';
import type { Annotations } from './annotations.ts';
import { formatDuration, parseDuration } from './duration.ts';

/** Annotations of a key, and any other keyword. */
export type Options = Annotations & TSchemaOptions;

/** What a rule says that has no words of its own: then the message shows the value. */
export const NO_WORDS = (): string => '';

/** A text with something in it. */
export function text(options: Options) {
  return Type.String({ minLength: 1, expected: 'a text', ...options });
}

/** A text that is a password or token, or may hold one. */
export function secret(options: Options) {
  return text({ expected: 'a text', secret: true, ...options });
}

/** What a token is made of, in words. */
export const TOKEN_CHARACTERS = 'visible ASCII characters without spaces';

/** A text that can be sent as a bearer token (RFC 6750, section 2.1, without insisting on its alphabet). */
export function bearerToken(options: Options) {
  return Type.Refine(secret({ expected: TOKEN_CHARACTERS, ...options }), isBearerToken, () => 'cannot be sent in a header');
}

/** Says whether `token` can be sent in an `Authorization` header. */
export function isBearerToken(token: string): boolean {
  return /^[\x21-\x7e]+$/.test(token);
}

export function flag(options: Options) {
  return Type.Boolean({ expected: 'true or false', ...options });
}

export function wholeNumber(minimum: number, maximum: number, options: Options) {
  return Type.Integer({ minimum, maximum, expected: `a whole number from ${minimum} to ${maximum}`, ...options });
}

/** A pattern of names with `*` and `?`. */
export function glob() {
  return text({ expected: 'a glob such as stable or "v*"' });
}

/** The longest time that one of Node's timers can wait for, in whole days. */
export const LONGEST_TIMER = 24 * 86_400_000;

/** A length of time; both bounds in milliseconds. */
export function duration(options: Options, minimum = 0, maximum: number = Number.MAX_SAFE_INTEGER) {
  const bounds = [
    ...(minimum > 0 ? [`at least ${formatDuration(minimum)}`] : []),
    ...(maximum < Number.MAX_SAFE_INTEGER ? [`at most ${formatDuration(maximum)}`] : []),
  ];
  const expected = ['a duration such as 500ms, 30s, 5m, 1h or 1d', ...bounds].join(', ');
  const isWithin = (written: string | number) => {
    const milliseconds = parseDuration(written);
    return milliseconds !== undefined && milliseconds >= minimum && milliseconds <= maximum;
  };
  return Type.Refine(Type.Union([Type.String(), Type.Number()], { expected, ...options }), isWithin, NO_WORDS);
}

/** A file or folder that need not be there. */
export function path(options: Options) {
  return Type.Refine(text({ expected: 'a path', path: 'any', ...options }), (written) => !written.includes('\0'), NO_WORDS);
}

/** A file that must be there, and readable, when the configuration is read. */
export function readableFile(options: Options) {
  return path({ expected: 'a file that can be read', path: 'readable', ...options });
}

/** A file to write an index to; its name without `.json` is part of a URL. */
export function outputFile(options: Options) {
  return Type.Refine(
    path({ expected: 'the path of a file such as /var/www/html/index/apps.json', path: 'output', ...options }),
    (written) => !written.endsWith('/') && !['', '.', '..'].includes(outputName(written)),
    () => 'names no file',
  );
}

/** The name of an output file without its folder and `.json`. */
export function outputName(output: string): string {
  return basename(output).replace(/\.json$/, '');
}
