/** Says what is wrong with a database, and what to do about it. */
import { type ClientConfig, DatabaseError, escapeIdentifier } from 'pg';
import { StoreError, type StoreErrorCode } from '../store-error.ts';
import { databaseName } from './connection.ts';

/** A kind of error. */
interface Kind {
  /** The code of such an error, its start, or the message. */
  readonly of: RegExp;
  /** `unavailable` unless given: it may pass by itself. */
  readonly code?: StoreErrorCode;
  /** The fault, in words that follow the name of the database. */
  readonly what: string;
  readonly todo: string | ((config: ClientConfig) => string);
}

const REACH = 'check host and port in store, and that PostgreSQL runs and listens there';
const CLIENT_CERTIFICATE = 'set sslcert and sslkey in store to a client certificate that it accepts for this user';

/** Kinds of errors that the server reports, by SQLSTATE (PostgreSQL, appendix A) and message; the first that fits. */
const REPORTED: readonly Kind[] = [
  {
    of: /^28P01/,
    code: 'refused',
    what: 'refuses the login',
    todo: 'check the user in store, and the password there, in store_password_file or in PGPASSWORD',
  },
  {
    of: /^28000 no pg_hba\.conf entry.*(?:no encryption|SSL off)$/,
    code: 'refused',
    what: 'refuses the connection',
    todo: 'set sslmode=verify-full in store if it wants TLS, or add a line for this connection to pg_hba.conf',
  },
  { of: /^28000 .*certificate/, code: 'refused', what: 'refuses the login', todo: CLIENT_CERTIFICATE },
  {
    of: /^28/,
    code: 'refused',
    what: 'refuses the login',
    todo: 'check the user in store, and pg_hba.conf of the server',
  },
  {
    of: /^3D/,
    code: 'refused',
    what: 'does not exist',
    todo: ({ database = '', user = '' }) =>
      `make it with CREATE DATABASE ${escapeIdentifier(database)} OWNER ${escapeIdentifier(user)} ENCODING 'UTF8' TEMPLATE template0, or name another one in store`,
  },
  {
    of: /^42501/,
    code: 'read-only',
    what: 'does not let this role do all that the store needs',
    todo: 'make it the owner of the tables, or name an empty database in store',
  },
  { of: /^25006/, what: 'is read-only', todo: 'name the primary in store: a standby takes no writes' },
  { of: /^53100/, code: 'full', what: 'has no space left', todo: 'free some on the disk of the server' },
  {
    of: /^53300/,
    what: 'has no connection left',
    todo: 'raise max_connections of the server, or let fewer others connect',
  },
  {
    of: /^XX00[12]/,
    code: 'corrupt',
    what: 'is damaged',
    todo: 'check the disk of the server; an empty database is filled from the registries again',
  },
  // Connection, transaction state, rollback, resources, locks, shutdown, system, internal: not faults of this program.
  { of: /^(?:08|25|40|53|55|57|58|XX)/, what: 'cannot be used now', todo: 'see the log of the server' },
];

/** Kinds of errors of the connection, by the code of the system or of TLS, and message; the first that fits. */
const CONNECTION: readonly Kind[] = [
  {
    of: /server does not support SSL/,
    code: 'refused',
    what: 'offers no TLS',
    todo: 'turn ssl on in postgresql.conf of the server, or set sslmode=disable in store if the network is safe',
  },
  {
    of: /^ERR_TLS_CERT_ALTNAME_INVALID/,
    code: 'refused',
    what: 'has a certificate for another host',
    todo: 'name the host in store as its certificate does',
  },
  {
    of: /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF)\w+)/,
    code: 'refused',
    what: 'has a certificate that no trusted authority has signed',
    todo: 'set sslrootcert in store to a file with the certificate of its authority',
  },
  {
    of: /^CERT_(?:HAS_EXPIRED|NOT_YET_VALID)/,
    code: 'refused',
    what: 'has a certificate that is not valid now',
    todo: 'renew it, or correct the clock of this machine',
  },
  { of: /^ERR_SSL_\w*ALERT/, code: 'refused', what: 'refuses the TLS connection', todo: CLIENT_CERTIFICATE },
  {
    of: /client password must be/,
    code: 'refused',
    what: 'asks for a password',
    todo: 'set store_password_file, or PGPASSWORD',
  },
  {
    of: /timeout exceeded when trying to connect/,
    what: 'keeps all connections of this program busy',
    todo: 'see the log of the server for slow statements',
  },
  {
    of: /^E(?:CONNREFUSED|NOTFOUND|AI_AGAIN|HOSTUNREACH|NETUNREACH|TIMEDOUT|NOENT|ACCES)|timeout expired|connection timeout/,
    what: 'cannot be reached',
    todo: REACH,
  },
  // Errors of the system and of TLS, and those of `pg` itself, which have no code.
  {
    of: /^(?:E(?!RR_)|ERR_(?:SSL|TLS|OSSL|SOCKET|STREAM)_|(?!ERR_)[A-Z]+_)|^ .*(?:[Cc]onnection|timeout|terminated)/,
    what: 'does not answer',
    todo: 'see the log of the server, and whether the network between is faulty',
  },
];

/**
 * Converts an error of `pg`, or of the system or TLS under it, to a StoreError; returns any other error as it is: a
 * fault of this program.
 */
export function explainFault(error: unknown, config: ClientConfig): unknown {
  if (!(error instanceof Error) || error instanceof StoreError) return error;
  const { message, code = '' } = firstOf(error);
  const text = `${code} ${message}`;
  const kind = (error instanceof DatabaseError ? REPORTED : CONNECTION).find(({ of }) => of.test(text));
  if (kind === undefined) return error;
  const name = databaseName(config);
  const todo = typeof kind.todo === 'string' ? kind.todo : kind.todo(config);
  return StoreError.saying(kind.code ?? 'unavailable', name, `${name} ${kind.what} (${message}): ${todo}`, {
    cause: error,
  });
}

/** A host with several addresses has an error for each. */
function firstOf(error: Error): Error & { readonly code?: string } {
  const [first = error] = error instanceof AggregateError ? (error.errors as readonly Error[]) : [];
  return first;
}
