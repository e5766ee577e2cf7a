/** Creates the logger: JSON lines, or readable text on a terminal, on standard error, which keeps results separate. */
import type { Logger } from 'pino';
import pino from 'pino';

const STANDARD_ERROR = 2;
/** Fields that are redacted, as headers and the configuration spell them. */
const SECRETS = ['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'password', 'passcode', 'token', 'admin_token', 'adminToken', 'events_token', 'eventsToken'];
/** Fields with URLs, whose logins are removed. */
const URLS = ['url', 'urls[*]'];
/** The depths at which fields are redacted. */
const DEPTHS = ['', '*.', '*.*.', '*.*.*.'];

/** All log levels, from the most lines to none. */
export const LOG_LEVELS: readonly string[] = [...Object.keys(pino.levels.values), 'silent'];

/** Settings of the logger. */
export interface LoggerOptions {
  /** Logs debug messages, whatever `level` says; false by default. */
  readonly verbose?: boolean;
  /** One of {@link LOG_LEVELS}; `info` by default. */
  readonly level?: string | undefined;
  /** Logs readable text instead of JSON; by default if standard error is a terminal. */
  readonly terminal?: boolean;
}

/** Creates a logger. @throws Error for an unknown level. */
export async function createLogger({ verbose = false, level = 'info', terminal = process.stderr.isTTY }: LoggerOptions = {}): Promise<Logger> {
  const options = {
    level: verbose ? 'debug' : level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: secretPaths(), censor },
  };
  if (!terminal) return pino(options, pino.destination({ dest: STANDARD_ERROR, sync: true }));
  const { default: pretty } = await import('pino-pretty');
  return pino(options, pretty({ destination: STANDARD_ERROR, sync: true, colorize: true, singleLine: true, ignore: 'pid,hostname' }));
}

/** The paths for pino's `redact`. */
function secretPaths(): string[] {
  return DEPTHS.flatMap((depth) => [...SECRETS, ...URLS].map((name) => (name.includes('-') ? `${depth.slice(0, -1)}["${name}"]` : depth + name)));
}

function censor(value: unknown, path: string[]): unknown {
  if (SECRETS.includes(path.at(-1) ?? '')) return '[secret]';
  return typeof value === 'string' ? value.replace(/\/\/[^/@]*@/g, '//') : value;
}
