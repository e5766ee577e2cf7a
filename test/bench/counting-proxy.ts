/** A TCP proxy that counts what a program and its database have to say to each other. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What went through a proxy so far. */
export interface Traffic {
  /** Answers that were waited for; notifications are none. */
  readonly roundTrips: number;
  /** Bytes to the database. */
  readonly sent: number;
  /** Bytes from it. */
  readonly received: number;
}

export interface CountingProxy extends AsyncDisposable {
  readonly port: number;
  readonly traffic: () => Traffic;
}

/** Starts a proxy to a port of this machine. */
export async function startCountingProxy(to: number): Promise<CountingProxy> {
  const sockets = new Set<Socket>();
  const traffic = { roundTrips: 0, sent: 0, received: 0 };
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: to, host: '127.0.0.1', noDelay: true });
    // Of one connection: whether what comes next from the database answers something.
    let asked = false;
    client.on('data', ({ length }) => {
      asked = true;
      traffic.sent += length;
    });
    upstream.on('data', ({ length }) => {
      if (asked) traffic.roundTrips++;
      asked = false;
      traffic.received += length;
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy()).on('close', () => sockets.delete(socket));
      socket.pipe(other);
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    traffic: () => ({ ...traffic }),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
