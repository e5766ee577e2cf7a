/** A connection that one task keeps for itself, outside the pool. */
import { Client, type ClientConfig } from 'pg';

/** Time to end a connection in good order, in milliseconds. */
const END_TIMEOUT = 1_000;

/** Settings of {@link connectAlone}. */
export interface OwnConnectionOptions {
  /** As the database's administrator sees it. */
  readonly name: string;
  /** Limit of connecting and of each statement, in milliseconds, by which a connection that hangs is found. */
  readonly timeout: number;
  /** Called when the connection breaks or ends, perhaps more than once. */
  readonly onEnd: (client: Client, error: Error) => void;
}

/** Connects. */
export async function connectAlone(
  connection: ClientConfig,
  { name, timeout, onEnd }: OwnConnectionOptions,
): Promise<Client> {
  const client = new Client({
    application_name: name,
    ...connection,
    connectionTimeoutMillis: timeout,
    query_timeout: timeout,
    keepAlive: true,
  });
  client.on('error', (error) => onEnd(client, error));
  client.on('end', () => onEnd(client, new Error('the connection was closed')));
  await client.connect();
  return client;
}

/** Ends a connection; never rejects, and does not wait for a database that does not answer. */
export async function disconnect(client: Client | undefined): Promise<void> {
  if (client === undefined) return;
  const limit = setTimeout(() => client.connection.stream.destroy(), END_TIMEOUT);
  await client.end().catch(() => undefined);
  clearTimeout(limit);
}
