/** Works out the database of the store, from the file and the environment. */
import { resolve } from 'node:path';
import type { Incomplete } from './check-rules.ts';
import type { StoreConfig } from './config.ts';
import { type DatabaseParts, databaseParts, databaseUrlOf, TLS_PARAMETERS } from './database-url.ts';
import type { Problems } from './problems.ts';
import type { Environment } from './replace-variables.ts';
import type { ConfigFile } from './schema.ts';
import { fileFault, readTextFile } from './text-file.ts';
import { IN_STATE_DIR } from './url-types.ts';

/** Objects that the store is read with. */
interface Surroundings {
  /** The folder of the configuration file. */
  readonly folder: string;
  readonly environment: Environment;
  readonly problems: Problems;
}

type Part = keyof DatabaseParts;

/** Environment variables of libpq for what a URL leaves out. */
const VARIABLES: readonly (readonly [Part, string])[] = [
  ['user', 'PGUSER'],
  ['password', 'PGPASSWORD'],
  ['host', 'PGHOST'],
  ['port', 'PGPORT'],
  ['database', 'PGDATABASE'],
  ...TLS_PARAMETERS.map((name) => [name, `PG${name.toUpperCase()}`] as const),
];

/**
 * Modes of libpq that are not offered: `allow` and `prefer` leave it to whoever is between here and the database
 * whether the connection is encrypted.
 */
const MODES: ReadonlySet<unknown> = new Set(['disable', 'require', 'verify-ca', 'verify-full']);
const EXPECTED_MODE = 'disable, require, verify-ca or verify-full';

/** The authorities that Node.js and the system trust, as `sslrootcert` (libpq from version 16 on). */
const SYSTEM = 'system';

/** Returns the database; `undefined` if the store is in files. Adds a problem for each part that cannot be used. */
export function readStore(
  { store, store_password_file: passwordFile }: Incomplete<ConfigFile>,
  { folder, environment, problems }: Surroundings,
): StoreConfig | undefined {
  if (store === undefined || store === IN_STATE_DIR) return undefined;
  const written = databaseParts(store);
  const given = VARIABLES.flatMap(([part, variable]) => {
    const value = environment[variable];
    return written[part] !== undefined || value === undefined || value === ''
      ? []
      : [{ part, variable, value: isFile(part, value) ? resolve(value) : value }];
  });
  const parts = completed(
    { ...Object.fromEntries(given.map(({ part, value }) => [part, value])), ...inFolder(written, folder) },
    environment,
  );
  const named = (part: Part): string => {
    const variable = given.find((each) => each.part === part)?.variable;
    return variable === undefined ? part : `${part} (from ${variable})`;
  };
  const faults = [...faultsOf(parts, named)];
  for (const fault of faults) problems.add(['store'], fault);
  const password = passwordFile === undefined ? parts.password : readPassword(passwordFile, problems);
  return faults.length > 0 ? undefined : { url: databaseUrlOf(parts), password };
}

/** Adds what `pg` would take where nothing says otherwise. */
function completed(parts: DatabaseParts, { USER }: Environment): DatabaseParts {
  const user = parts.user ?? USER;
  return { host: 'localhost', port: '5432', ...(user !== undefined && { user, database: user }), ...parts };
}

function inFolder(parts: DatabaseParts, folder: string): DatabaseParts {
  return Object.fromEntries(
    Object.entries(parts).map(([part, value]) => [part, isFile(part, value) ? resolve(folder, value) : value]),
  );
}

function isFile(part: string, value: string): boolean {
  return part === 'sslcert' || part === 'sslkey' || (part === 'sslrootcert' && value !== SYSTEM);
}

/** Returns what is wrong, in words that follow the key. */
function* faultsOf(parts: DatabaseParts, named: (part: Part) => string): Iterable<string> {
  const { user, host = '', port = '', sslmode, sslrootcert, sslcert, sslkey } = parts;
  if (user === undefined) yield 'names no user, expected postgres://USER@…, or the variable PGUSER';
  if (host.includes(','))
    yield `names several hosts${named('host').slice(4)}, expected one, which always leads to the primary`;
  else if (host.includes(':') && !URL.canParse(`postgres://[${host}]`))
    yield `has a ${named('host')} that is not valid, expected a name, an address, or the folder of a socket`;
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535 || Number(port) === 0)
    yield `has a ${named('port')} that is not valid, expected a whole number from 1 to 65535`;
  const tls = TLS_PARAMETERS.find((name) => parts[name] !== undefined);
  if (tls !== undefined && sslmode === undefined)
    yield `has ${named(tls)} without sslmode, expected sslmode=verify-full beside it`;
  if (sslmode === 'allow' || sslmode === 'prefer')
    yield `has ${named('sslmode')} ${sslmode}, which may end in a connection that is not encrypted, expected ${EXPECTED_MODE}`;
  else if (sslmode !== undefined && !MODES.has(sslmode))
    yield `has an ${named('sslmode')} that is not known, expected ${EXPECTED_MODE}`;
  if (sslmode === 'verify-ca' && sslrootcert === undefined)
    yield 'has sslmode verify-ca without sslrootcert, expected sslrootcert=FILE beside it (public authorities sign for anybody), or sslmode=verify-full';
  if (sslrootcert === SYSTEM && (sslmode === 'verify-ca' || sslmode === 'require'))
    yield `has ${named('sslrootcert')} system with sslmode ${sslmode}, expected sslmode=verify-full (public authorities sign for anybody)`;
  if ((sslcert === undefined) !== (sslkey === undefined))
    yield `has ${sslcert === undefined ? `${named('sslkey')} without sslcert` : `${named('sslcert')} without sslkey`}, expected both or neither`;
  for (const [part, file] of Object.entries({ sslrootcert, sslcert, sslkey })) {
    const fault = file === undefined || !isFile(part, file) ? undefined : fileFault(file);
    if (fault !== undefined)
      yield `has an ${named(part as Part)} that names a file that ${fault}, expected a file that can be read`;
  }
}

const LONGEST_PASSWORD_FILE = 16 * 1024;

/** The password in a file, which may end with a line break; adds a problem if it does not hold one. */
function readPassword(file: string, problems: Problems): string | undefined {
  const content = readTextFile(file, LONGEST_PASSWORD_FILE);
  const password = 'text' in content ? content.text.replace(/\r?\n$/, '') : undefined;
  if (password !== undefined && password !== '' && !/[\r\n]/.test(password)) return password;
  const fault = 'fault' in content ? content.fault : password === '' ? 'is empty' : 'has several lines';
  problems.add(['store_password_file'], `names a file that ${fault}, expected a password alone`);
  return undefined;
}
