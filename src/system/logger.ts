/** The log on the standard error: JSON lines, or plain text on a terminal. */
import type { Logger } from 'pino';
import pino from 'pino';
import { plainLine } from './plain-line.ts';

const STANDARD_ERROR = 2;
/** Fields whose values are never written, as headers and the configuration spell them. */
const SECRETS = [
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'password',
  'passcode',
  'token',
  'admin_token',
  'adminToken',
  'events_token',
  'eventsToken',
];
/** Fields that are written without the login that may be in them. */
const URLS = ['url', 'urls[*]'];
/** Levels of nesting at which these fields are found. */
const DEPTHS = ['', '*.', '*.*.', '*.*.*.'];

/** Names of the levels, from the most detailed to none. */
export const LOG_LEVELS: readonly string[] = [...Object.keys(pino.levels.values), 'silent'];

/** Settings of the logger. */
export interface LoggerOptions {
  /** Logs debug messages too; false by default. */
  readonly verbose?: boolean;
  /** One of {@link LOG_LEVELS}; `info` by default. */
  readonly level?: string | undefined;
  /** Writes for people; by default if the standard error is a terminal. */
  readonly terminal?: boolean;
}

/**
 * Creates the logger. On a terminal it writes plain text, with time and fields only at the level `debug` and below.
 * @throws Error if there is no such level.
 */
export async function createLogger({
  verbose = false,
  level = 'info',
  terminal = process.stderr.isTTY,
}: LoggerOptions = {}): Promise<Logger> {
  const options = {
    level: verbose ? 'debug' : level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: secretPaths(), censor },
  };
  if (!terminal) return pino(options, pino.destination({ dest: STANDARD_ERROR, sync: true }));
  if (options.level === 'debug' || options.level === 'trace') {
    const { default: pretty } = await import('pino-pretty');
    return pino(
      options,
      pretty({ destination: STANDARD_ERROR, sync: true, colorize: true, singleLine: true, ignore: 'pid,hostname' }),
    );
  }
  const output = pino.destination({ dest: STANDARD_ERROR, sync: true });
  // The terminal may be gone.
  output.on('error', () => undefined);
  return pino(options, { write: (line) => void output.write(plainLine(line)) });
}

/** Paths for pino's `redact`. */
function secretPaths(): string[] {
  return DEPTHS.flatMap((depth) =>
    [...SECRETS, ...URLS].map((name) => (name.includes('-') ? `${depth.slice(0, -1)}["${name}"]` : depth + name)),
  );
}

function censor(value: unknown, path: string[]): unknown {
  if (SECRETS.includes(path.at(-1) ?? '')) return '[secret]';
  return typeof value === 'string' ? value.replace(/\/\/[^/@]*@/g, '//') : value;
}
