/** Debian's PgBouncer, in front of a PostgreSQL server. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientConfig } from 'pg';
import { takesConnections } from './answering.ts';
import { freePort } from './free-port.ts';
import { startPeer, type Peer } from './peer.ts';

export interface Pgbouncer extends Peer {
  /** Says how to connect to a database of the server through it. */
  through(connection: ClientConfig): ClientConfig;
}

/** Starts PgBouncer in transaction mode: each transaction may get another connection to the server. */
export async function startPgbouncer({ host, port, user }: ClientConfig): Promise<Pgbouncer> {
  const peer = await startPeer('pgbouncer', async (folder) => {
    const own = await freePort();
    const configuration = join(folder, 'pgbouncer.ini');
    await writeFile(
      configuration,
      `[databases]
* = host=${host} port=${port} user=${user}
[pgbouncer]
pool_mode = transaction
listen_addr = 127.0.0.1
listen_port = ${own}
unix_socket_dir =
auth_type = any
`,
    );
    return {
      command: 'pgbouncer',
      // It refuses to run as root.
      args: [...(process.getuid?.() === 0 ? ['-u', 'postgres'] : []), configuration],
      port: own,
      answers: () => takesConnections({ host: '127.0.0.1', port: own }),
    };
  });
  const own = { host: '127.0.0.1', port: peer.program.port };
  return Object.assign(peer, { through: (connection: ClientConfig) => ({ ...connection, ...own }) });
}
