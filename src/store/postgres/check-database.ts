/** Checks that a database can hold the store. */
import { StoreError, type StoreErrorCode } from '../store-error.ts';
import type { PostgresDatabase, Row } from './postgres-database.ts';

/** Oldest version, as `server_version_num`: the first that has `gen_random_uuid`. */
const OLDEST = 130_000;

interface Found {
  readonly number: number;
  readonly version: string;
  readonly encoding: string;
  readonly standby: boolean;
  readonly may: boolean;
  readonly role: string;
  readonly database: string;
  readonly schema: string;
}

const FIND = `
  SELECT current_setting('server_version_num')::integer AS number, current_setting('server_version') AS version,
    current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may,
    quote_ident(current_user) AS role, quote_ident(current_database()) AS database,
    quote_ident(coalesce(current_schema(), 'public')) AS schema`;

/**
 * Returns the version, such as `PostgreSQL 15.10`.
 * @throws StoreError that says what to do if the store cannot be there
 */
export async function checkDatabase({ query, name }: PostgresDatabase): Promise<string> {
  const [found] = await query<Found & Row>(FIND);
  if (found === undefined) throw new Error('a SELECT without FROM gave no row');
  const { number, version, encoding, standby, may, role, database, schema } = found;
  const fault = (message: string, code: StoreErrorCode = 'refused'): StoreError =>
    StoreError.saying(code, name, `${name} ${message}`);
  if (number < OLDEST) throw fault(`is PostgreSQL ${version}: version 13 or newer is needed`);
  if (encoding !== 'UTF8')
    throw fault(
      `has the encoding ${encoding}: name one in store that was made with CREATE DATABASE … OWNER ${role} ENCODING 'UTF8' TEMPLATE template0`,
    );
  // It may become the primary.
  if (standby) throw fault('is a standby, which takes no writes: name the primary in store', 'unavailable');
  if (!may)
    throw StoreError.saying(
      'read-only',
      name,
      `${name} does not let the role ${role} make tables: run GRANT CREATE, USAGE ON SCHEMA ${schema} TO ${role} in it as the owner of the schema, or ALTER DATABASE ${database} OWNER TO ${role}`,
    );
  return `PostgreSQL ${version}`;
}
