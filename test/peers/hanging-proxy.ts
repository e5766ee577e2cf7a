/** A TCP proxy that stops passing bytes when a test says so: what a broken network looks like. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface HangingProxy extends AsyncDisposable {
  readonly port: number;
  /** How many connections have come. */
  readonly connections: number;
  /** Passes nothing on, on any connection, and closes none. */
  hang(): void;
  /** Passes everything on again. */
  resume(): void;
}

/** Starts a proxy to a port of this machine. */
export async function startHangingProxy(to: number): Promise<HangingProxy> {
  const sockets = new Set<Socket>();
  let hangs = false;
  let connections = 0;
  const server = createServer((client) => {
    connections++;
    const upstream = connect(to, '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy()).on('close', () => sockets.delete(socket));
      // While it hangs, what is read stays here.
      if (!hangs) socket.pipe(other);
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
    hang: () => {
      hangs = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    resume: () => {
      hangs = false;
      // Those that hung have lost their place; both sides open others.
      for (const socket of sockets) socket.destroy();
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
