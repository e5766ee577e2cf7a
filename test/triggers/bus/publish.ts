/** Publishes messages on a broker, as a builder of Flatpaks does. */
import { once } from 'node:events';
import { connect } from 'node:net';
import stompit, { type Client } from 'stompit';
import { parseBusUrl } from '../../../src/triggers/bus/bus-url.ts';

/**
 * Sends `bodies` to a destination, bytes with content-length and texts without. Resolves when the broker has received
 * them all.
 */
export async function publish(
  url: string,
  destination: string,
  bodies: readonly (string | Buffer)[],
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { host, port, virtualHost, login, passcode } = parseBusUrl(url);
  const socket = connect(port, host);
  const client = new stompit.Client(socket);
  client.connect({ host: virtualHost, login, passcode });
  await once(client, 'connect');
  const send = (body: string | Buffer, receipt: object): void => {
    const length = typeof body === 'string' ? {} : { 'content-length': body.length };
    client.sendFrame('SEND', { destination, ...headers, ...length }, receipt as Client.SendOptions).end(body);
  };
  for (const body of bodies.slice(0, -1)) send(body, {});
  await new Promise<void>((onReceipt) => send(bodies.at(-1) ?? '', { onReceipt }));
  client.disconnect();
  await once(socket, 'close');
}
