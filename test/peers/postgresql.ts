/** A PostgreSQL server with databases for tests. */
import { chmodSync, chownSync, copyFileSync, globSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Client, type ClientConfig } from 'pg';
import type { Certificates } from './certificates.ts';
import { freePort } from './free-port.ts';
import { bareEnvironment, Peer, type PeerProgram, startPeer } from './peer.ts';
import { runCommand } from './run-command.ts';

export interface Postgresql extends Peer {
  /** Makes an empty database, and says how to connect to it. */
  createDatabase(): Promise<ClientConfig>;
}

interface Program extends PeerProgram {
  readonly connection: ClientConfig;
}

/** How clients are let in, who all may otherwise come without a password. */
interface PostgresqlAccess {
  /** Enables TLS too, with client certificates. */
  readonly certificates?: Certificates;
  /** Lines of `pg_hba.conf` for other users than `regindexer`. */
  readonly rules?: readonly string[];
}

/** Debian keeps the programs of each major version apart. */
function binary(name: string): string {
  return globSync(`/usr/lib/postgresql/*/bin/${name}`).toSorted().at(-1) ?? name;
}

/** Starts a server with `settings` of `postgresql.conf`; its socket is in its folder. */
export async function startPostgresql(
  settings: Readonly<Record<string, string>> = {},
  { certificates, rules }: PostgresqlAccess = {},
): Promise<Postgresql> {
  const peer = await startPeer('postgresql', async (folder): Promise<Program> => {
    const data = join(folder, 'data');
    mkdirSync(data);
    const tls = certificates === undefined ? {} : copyCertificates(certificates, folder);
    // The server refuses to run as root.
    const asUser =
      process.getuid?.() === 0 ? ['setpriv', '--reuid', 'postgres', '--regid', 'postgres', '--clear-groups'] : [];
    if (asUser.length > 0) {
      const [uid, gid] = [await idOf('-u'), await idOf('-g')];
      for (const path of [folder, data, ...Object.values(tls)]) chownSync(path, uid, gid);
    }
    const run = async ([command = '', ...args]: readonly string[]): Promise<void> => {
      await runCommand(command, args, { env: bareEnvironment(folder), cwd: folder });
    };
    await run([
      ...asUser,
      binary('initdb'),
      '-D',
      data,
      '-U',
      'regindexer',
      '-A',
      'trust',
      '-E',
      'UTF8',
      '--locale',
      'C.UTF-8',
      '--no-sync',
    ]);
    const port = await freePort();
    const connection = { host: '127.0.0.1', port, user: 'regindexer', database: 'postgres' };
    if (rules !== undefined)
      writeFileSync(join(data, 'pg_hba.conf'), ['host all regindexer all trust', ...rules, ''].join('\n'));
    const given = {
      fsync: 'off',
      listen_addresses: '127.0.0.1',
      unix_socket_directories: folder,
      ...(certificates && { ssl: 'on', ...tls }),
      ...settings,
    };
    const [command = '', ...args] = [
      ...asUser,
      binary('postgres'),
      '-D',
      data,
      '-p',
      String(port),
      ...Object.entries(given).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ];
    return { command, args, connection, answers: () => ask(connection, 'SELECT 1') };
  });
  const { connection } = peer.program;
  let databases = 0;
  return Object.assign(peer, {
    // Ends connections; SIGTERM would wait for clients to do so.
    stop: (signal: NodeJS.Signals = 'SIGINT') => Peer.prototype.stop.call(peer, signal),
    createDatabase: async () => {
      const database = `test_${++databases}`;
      await ask(connection, `CREATE DATABASE ${database}`);
      return { ...connection, database };
    },
  });
}

/** Copies them to where the server's user may read them, as settings. */
function copyCertificates(
  { authority, certificate, key }: Certificates,
  folder: string,
): Readonly<Record<string, string>> {
  const copies = { ssl_ca_file: authority, ssl_cert_file: certificate, ssl_key_file: key };
  return Object.fromEntries(
    Object.entries(copies).map(([setting, file]) => {
      const copy = join(folder, basename(file));
      copyFileSync(file, copy);
      chmodSync(copy, 0o600);
      return [setting, copy];
    }),
  );
}

async function ask(connection: ClientConfig, sql: string): Promise<void> {
  const client = new Client({ ...connection, connectionTimeoutMillis: 2000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

async function idOf(option: '-u' | '-g'): Promise<number> {
  return Number((await runCommand('id', [option, 'postgres'], { env: bareEnvironment('/') })).trim());
}
