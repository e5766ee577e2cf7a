/** The URL of a PostgreSQL database: its parts, each of which may be missing. */
import { closest } from 'fastest-levenshtein';

/** Parameters of TLS, by the names of libpq (https://www.postgresql.org/docs/current/libpq-connect.html). */
export const TLS_PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'] as const;
const PARAMETERS = ['host', 'port', ...TLS_PARAMETERS] as const;

/** Parts of a URL. `host` may be the folder of a Unix socket. */
export type DatabaseParts = Readonly<
  Partial<Record<'user' | 'password' | 'database' | (typeof PARAMETERS)[number], string>>
>;

/** Host for the parser where there is none; no host has this name. */
const NO_HOST = '_';

/** `written` with a host, which the parser needs where there is a user or a port. */
export function withHost(written: string): string {
  return written.replace(
    /^(postgres(?:ql)?:\/\/(?:[^/?#]*@(?![^/?#]*@)|(?![^/?#]*@)))(?=[:/?#]|$)/i,
    (before) => before + NO_HOST,
  );
}

/** Says that a password cuts off what follows it, where it does. */
export function loginFault(written: string): string | undefined {
  return /^postgres(?:ql)?:\/\/[^/?#]*[/?#].*@/i.test(written)
    ? 'has an @ after its host (in a password, / is written %2F, ? is %3F and # is %23; or use store_password_file)'
    : undefined;
}

/** Returns what is wrong with a URL that can be parsed, without any of its characters: it may hold a password. */
export function databaseFault(written: string): string | undefined {
  const { hash, searchParams } = new URL(withHost(written));
  if (hash !== '') return 'has a fragment (in a password, # is written %23; or use store_password_file)';
  for (const name of searchParams.keys()) {
    if (isParameter(name)) continue;
    return `has a parameter that is not known here (the nearest is ${closest(name, PARAMETERS)} of ${PARAMETERS.join(', ')})`;
  }
  try {
    databaseParts(written);
    return undefined;
  } catch {
    return 'has an invalid percent-encoding (in a password, % is written %25; or use store_password_file)';
  }
}

/**
 * Returns what a URL says; parts that are empty are missing.
 * @throws URIError if its percent-encoding is invalid
 */
export function databaseParts(written: string): DatabaseParts {
  const { username, password, hostname, port, pathname, searchParams } = new URL(withHost(written));
  const parts = {
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    host: hostname === NO_HOST ? '' : decodeURIComponent(hostname).replace(/^\[(.*)\]$/, '$1'),
    port,
    database: decodeURIComponent(pathname.slice(1)),
    ...Object.fromEntries([...searchParams].filter(([name, value]) => isParameter(name) && value !== '')),
  };
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== ''));
}

/** Returns the URL of all parts but the password, which {@link URL} can parse. */
export function databaseUrlOf(parts: DatabaseParts): string {
  const { user = '', host = '', port = '', database = '' } = parts;
  const url = new URL(
    `postgres://${encodeURIComponent(user)}@${host.includes(':') ? `[${host}]` : encodeURIComponent(host)}:${port}/`,
  );
  url.pathname = encodeURIComponent(database);
  for (const name of TLS_PARAMETERS) if (parts[name] !== undefined) url.searchParams.set(name, parts[name]);
  return url.href;
}

function isParameter(name: string): boolean {
  return (PARAMETERS as readonly string[]).includes(name);
}
