/** The log: lines of JSON, readable on a terminal; on the standard error, so that results stay apart. */
import type { Logger } from 'pino';
import pino from 'pino';

const STANDARD_ERROR = 2;
/** What is never written, wherever it is in a line; as headers and the configuration spell it. */
const SECRETS = ['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'password', 'passcode', 'token', 'admin_token', 'adminToken', 'events_token', 'eventsToken'];
/** What is written without the login that may be in it. */
const URLS = ['url', 'urls[*]'];
/** How deep they are looked for. */
const DEPTHS = ['', '*.', '*.*.', '*.*.*.'];

/** From all that there is to nothing. */
export const LOG_LEVELS: readonly string[] = [...Object.keys(pino.levels.values), 'silent'];

export interface LoggerOptions {
  /** Debug messages too; false unless given. */
  readonly verbose?: boolean;
  /** One of {@link LOG_LEVELS}; `info` unless given. */
  readonly level?: string | undefined;
  /** To be read by people; whether the standard error is a terminal, unless given. */
  readonly terminal?: boolean;
}

/** @throws Error if there is no such level. */
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

/** In the language of pino's `redact`. */
function secretPaths(): string[] {
  return DEPTHS.flatMap((depth) => [...SECRETS, ...URLS].map((name) => (name.includes('-') ? `${depth.slice(0, -1)}["${name}"]` : depth + name)));
}

function censor(value: unknown, path: string[]): unknown {
  if (SECRETS.includes(path.at(-1) ?? '')) return '[secret]';
  return typeof value === 'string' ? value.replace(/\/\/[^/@]*@/g, '//') : value;
}
