/** How a PostgreSQL database is reached: login, and TLS as libpq means it. */
import { readFileSync } from 'node:fs';
import { type ConnectionOptions, createSecureContext, getCACertificates } from 'node:tls';
import type { ClientConfig } from 'pg';
import pgpass from 'pgpass';
import { parseCertificates } from '../../registry/http/access/certificate-files.ts';
import { messageOf } from '../../system/message-of.ts';
import { StoreError } from '../store-error.ts';

/** Where a database is, and the login. */
export interface DatabaseAddress {
  /**
   * `postgres://USER@HOST:PORT/DATABASE`, all of them, with `sslmode` (`disable`, `require`, `verify-ca` or
   * `verify-full`), `sslrootcert`, `sslcert` and `sslkey` as parameters; the folder of a Unix socket as HOST is
   * percent-encoded.
   */
  readonly url: string;
  /** `undefined` to look into the password file of libpq (`PGPASSFILE`, or `~/.pgpass`). */
  readonly password: string | undefined;
}

/** Time after which an idle connection is probed, in milliseconds: by default Linux waits for two hours. */
const PROBED_AFTER = 10_000;

/**
 * Returns how `pg` connects there. Reads the files that the URL names.
 * @throws StoreError `refused` if one of them cannot be used
 */
export function connectionOf({ url, password }: DatabaseAddress): ClientConfig {
  const { username, hostname, port, pathname, searchParams } = new URL(url);
  const login = {
    user: decodeURIComponent(username),
    host: decodeURIComponent(hostname).replace(/^\[(.*)\]$/, '$1'),
    port: Number(port),
    database: decodeURIComponent(pathname.slice(1)),
  };
  return {
    ...login,
    password: password ?? (() => passwordFor(login)),
    // As with libpq, there is no TLS on a Unix socket.
    ssl: login.host.startsWith('/') ? false : tlsOptions(searchParams, databaseName(login)),
    keepAlive: true,
    keepAliveInitialDelayMillis: PROBED_AFTER,
  };
}

/** Names a database in messages, without user and password. */
export function databaseName({ host = 'its default host', port, database = '' }: ClientConfig): string {
  const server = host.includes(':') ? `[${host}]` : host;
  return `the database ${database} at ${server}${port === undefined ? '' : `:${port}`}`;
}

/** Meaning of `sslmode` (https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION). */
function tlsOptions(parameters: URLSearchParams, database: string): false | ConnectionOptions {
  const mode = parameters.get('sslmode') ?? 'disable';
  if (mode === 'disable') return false;
  const [rootcert, cert, key] = ['sslrootcert', 'sslcert', 'sslkey'].map((name) => parameters.get(name) ?? undefined);
  const client = cert === undefined || key === undefined ? {} : readClient(cert, key, database);
  if (mode === 'require' && rootcert === undefined) return { ...client, rejectUnauthorized: false };
  const isSystem = rootcert === undefined || rootcert === 'system';
  const ca = isSystem
    ? [...new Set([...getCACertificates('default'), ...getCACertificates('system')])]
    : readFiles([rootcert], database, ([text = '']) => [...parseCertificates(text)]);
  return { ...client, ca, ...(mode !== 'verify-full' && { checkServerIdentity: () => undefined }) };
}

function readClient(cert: string, key: string, database: string): Pick<ConnectionOptions, 'cert' | 'key'> {
  return readFiles([cert, key], database, ([certificate = '', privateKey = '']) => {
    const pair = { cert: certificate, key: privateKey };
    createSecureContext(pair);
    return pair;
  });
}

function readFiles<T>(files: readonly string[], database: string, use: (texts: readonly string[]) => T): T {
  try {
    return use(files.map((file) => readFileSync(file, 'utf8')));
  } catch (cause) {
    const message = `store: ${files.join(' and ')} cannot be used for the connection to ${database}: ${messageOf(cause)}`;
    throw StoreError.saying('refused', database, message, { cause });
  }
}

function passwordFor(login: Parameters<typeof pgpass>[0]): Promise<string> {
  // `pg` takes `undefined` for no password.
  return new Promise((resolve) => pgpass(login, (password) => resolve(password as string)));
}
