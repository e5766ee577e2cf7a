/** Checks that a peer answers; each rejects if it does not within a second. */
import { once } from 'node:events';
import { connect, type NetConnectOpts } from 'node:net';
import { Agent, request } from 'undici';

const LIMIT = 1_000;

/** Resolves if an HTTP request is answered with a status below 500. */
export async function answersHttp(url: string): Promise<void> {
  const agent = new Agent({ connect: { rejectUnauthorized: false, timeout: LIMIT } });
  try {
    const { statusCode, body } = await request(url, { dispatcher: agent, headersTimeout: LIMIT, bodyTimeout: LIMIT });
    await body.dump();
    if (statusCode >= 500) throw new Error(`${url} answered ${statusCode}`);
  } finally {
    await agent.close();
  }
}

/** Resolves if a TCP connection is accepted. */
export async function takesConnections(address: NetConnectOpts): Promise<void> {
  const socket = connect({ ...address, timeout: LIMIT });
  try {
    await once(socket, 'connect');
  } finally {
    socket.destroy();
  }
}
