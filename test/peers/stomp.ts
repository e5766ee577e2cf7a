/** STOMP 1.2 client that publishes and receives messages. */
import stompit, { type Client } from 'stompit';
import type { Peer } from './peer.ts';

/** A broker that speaks STOMP on 127.0.0.1 with user and password `guest`. */
export interface Broker extends Peer {
  readonly host: string;
  readonly port: number;
  /** URL with user, password and virtual host, as for `bus.url`. */
  readonly url: string;
}

export interface StompMessage {
  readonly body: string;
  ack(): void;
}

export interface StompConnection extends AsyncDisposable {
  /** Sends a message, and waits for the broker's receipt. */
  publish(destination: string, body: string | Uint8Array, headers?: Readonly<Record<string, string>>): Promise<void>;
  /** Subscribes with `ack: client-individual` and these headers. */
  subscribe(
    destination: string,
    onMessage: (message: StompMessage) => void,
    headers?: Readonly<Record<string, string>>,
  ): void;
}

/** Connects as `guest` to the virtual host `/`. */
export async function connectStomp({ host, port }: Pick<Broker, 'host' | 'port'>): Promise<StompConnection> {
  const client = await connect(host, port);
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  let open = true;
  // A lost connection, as when a test stops the broker, rejects publishing and ends subscriptions.
  for (const event of ['end', 'error']) {
    client.on(event, () => {
      open = false;
      end();
    });
  }
  return {
    publish: async (destination, body, headers = {}) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      client.once('error', reject);
      client.send({ destination, ...headers }, { onReceipt: resolve, onError: reject }).end(body);
      await promise;
      client.off('error', reject);
    },
    subscribe: (destination, onMessage, headers = {}) => {
      client.subscribe({ destination, ack: 'client-individual', ...headers }, (error, message) => {
        if (error) return;
        message.readString('utf8', (_, body = '') => {
          onMessage({ body, ack: () => client.ack(message) });
        });
      });
    },
    [Symbol.asyncDispose]: async () => {
      if (open) client.disconnect();
      await ended;
    },
  };
}

/** Resolves if the broker accepts a STOMP connection. */
export async function answersStomp(host: string, port: number): Promise<void> {
  const connection = await connectStomp({ host, port });
  await connection[Symbol.asyncDispose]();
}

async function connect(host: string, port: number): Promise<Client> {
  const { promise, resolve, reject } = Promise.withResolvers<Client>();
  stompit.connect({ host, port, connectHeaders: { host: '/', login: 'guest', passcode: 'guest' } }, (error, client) => {
    if (error) reject(error);
    else resolve(client);
  });
  return promise;
}
