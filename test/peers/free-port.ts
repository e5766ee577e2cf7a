/** Ports for peers that cannot be told to choose one themselves. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below Linux's range for outgoing connections (32768 and up). In that range a client that keeps trying to reach a
 * stopped peer can be given the peer's own port, connect to itself, and hold the port when the peer comes back.
 */
const FIRST_PORT = 16_384;
const LAST_PORT = 32_767;

/** A TCP port of 127.0.0.1 on which nothing listens now. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}
