/** The log: lines of JSON, readable on a terminal; on the standard error, so that results stay apart. */
import type { Logger } from 'pino';
import pino from 'pino';

const STANDARD_ERROR = 2;

export interface LoggerOptions {
  /** Debug messages too. */
  readonly verbose: boolean;
  /** A level of pino's by name; what is none is passed over. */
  readonly level?: string | undefined;
  readonly terminal: boolean;
}

export async function createLogger({ verbose, level, terminal }: LoggerOptions): Promise<Logger> {
  const known = level !== undefined && (level in pino.levels.values || level === 'silent');
  const options = {
    level: verbose ? 'debug' : known ? level : 'info',
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: ['req.headers.authorization', '*.password', '*.token'],
  };
  if (!terminal) return pino(options, pino.destination({ dest: STANDARD_ERROR, sync: true }));
  const { default: pretty } = await import('pino-pretty');
  return pino(options, pretty({ destination: STANDARD_ERROR, sync: true, colorize: true, singleLine: true, ignore: 'pid,hostname' }));
}
