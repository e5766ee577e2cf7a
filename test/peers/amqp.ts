/** AMQP 0.9.1 client that publishes messages and looks after queues. */
import { readFile } from 'node:fs/promises';
import { connect, credentials, type ConfirmChannel, type SocketOptions } from 'amqplib';
import type { Certificates } from './certificates.ts';

/** Where a broker takes AMQP. */
export interface AmqpBroker {
  /** URL with user, password and virtual host, as for `bus.url`. */
  readonly amqpUrl: string;
  /** Logs in with the certificate of the server, if the broker wants one. */
  readonly certificates?: Certificates | undefined;
}

export interface AmqpClient extends AsyncDisposable {
  readonly channel: ConfirmChannel;
  /** Publishes messages to `amq.topic`, and waits until the broker has confirmed them all. */
  publish(routingKey: string, bodies: readonly (string | Buffer)[]): Promise<void>;
}

export async function connectAmqp({ amqpUrl, certificates }: AmqpBroker): Promise<AmqpClient> {
  const connection = await connect(amqpUrl, certificates && (await external(certificates)));
  // A lost connection, as when a test stops the broker, rejects what is under way.
  connection.on('error', () => undefined);
  const channel = await connection.createConfirmChannel();
  channel.on('error', () => undefined);
  return {
    channel,
    publish: async (routingKey, bodies) => {
      for (const body of bodies) channel.publish('amq.topic', routingKey, Buffer.from(body), { persistent: true });
      await channel.waitForConfirms();
    },
    [Symbol.asyncDispose]: () => connection.close().catch(() => undefined),
  };
}

/** Resolves if the broker accepts an AMQP connection. */
export async function answersAmqp(broker: AmqpBroker): Promise<void> {
  const client = await connectAmqp(broker);
  await client[Symbol.asyncDispose]();
}

async function external({ authority, certificate, key }: Certificates): Promise<SocketOptions> {
  const [ca, cert, itsKey] = await Promise.all([authority, certificate, key].map((file) => readFile(file)));
  return { ca, cert, key: itsKey, credentials: credentials.external() };
}
