/** One connection to a broker, which consumes a queue that is bound to an exchange (AMQP 0.9.1). */
import { AmqpClient } from './amqp-client.ts';
import {
  BusError,
  firstLine,
  shortMessage,
  type BrokerConnection,
  type ConnectionOptions,
} from './broker-connection.ts';

/** The time for the broker to confirm that the connection is closed, in milliseconds. */
const DISCONNECT_TIMEOUT = 2_000;
/** The time without a consumer after which the broker deletes the queue, in milliseconds. */
const QUEUE_EXPIRES = 60 * 60 * 1_000;
const NOT_FOUND = 404;

/** Settings of one connection. */
export interface AmqpConnectionOptions extends ConnectionOptions {
  readonly exchange: string;
  /** Returns the name of the queue. */
  readonly queue: () => Promise<string>;
}

/** A connection to one broker, whose queue outlives it. */
export class AmqpConnection implements BrokerConnection {
  readonly #options: AmqpConnectionOptions;
  readonly #end = Promise.withResolvers<BusError>();
  readonly #socket = new AbortController();
  #queue: string | undefined;
  #client: AmqpClient | undefined;

  private constructor(options: AmqpConnectionOptions) {
    this.#options = options;
  }

  /**
   * Connects, declares and binds the queue, and resolves when it is consumed.
   * @throws BusError, also if the signal is aborted.
   */
  static async open(options: AmqpConnectionOptions): Promise<AmqpConnection> {
    const { signal, timeout } = options;
    const connection = new AmqpConnection(options);
    const timer = setTimeout(() => connection.#lose(new Error(`no answer within ${timeout / 1000} s`)), timeout);
    const onAbort = (): void => void connection.#disconnect();
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    void connection.closed.then(() => signal.removeEventListener('abort', onAbort));
    try {
      await Promise.race([connection.#consume(), connection.#failed()]);
    } finally {
      clearTimeout(timer);
    }
    return connection;
  }

  get queue(): string | undefined {
    return this.#queue;
  }

  get closed(): Promise<BusError> {
    return this.#end.promise;
  }

  async #consume(): Promise<void> {
    const { address, tls, heartbeat, exchange, destinations, onMessage } = this.#options;
    try {
      const queue = await this.#options.queue();
      this.#queue = queue;
      const { signal } = this.#socket;
      const client = await AmqpClient.open({ address, tls, heartbeat, signal, onLost: (error) => this.#lose(error) });
      this.#client = client;
      await this.#declare(client, queue);
      await client.request(async (channel) => {
        for (const { destination } of destinations) await channel.bindQueue(queue, exchange, destination);
      });
      await client.consume(queue, ({ routingKey, body, ack }) => onMessage({ destination: routingKey, body, ack }));
    } catch (error) {
      this.#lose(error);
      await this.#failed();
    }
  }

  /** Declares the queue if it is missing; one that exists may have been declared in another way, and stays. */
  async #declare(client: AmqpClient, queue: string): Promise<void> {
    try {
      await client.request((channel) => channel.checkQueue(queue));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === NOT_FOUND)) throw error;
      await client.request((channel) => channel.assertQueue(queue, { durable: true, expires: QUEUE_EXPIRES }));
    }
  }

  async #disconnect(): Promise<void> {
    const timer = setTimeout(() => this.#lose(), DISCONNECT_TIMEOUT);
    await this.#client?.close().catch(() => undefined);
    clearTimeout(timer);
    this.#lose();
  }

  /** Ends the connection; the first reason counts. */
  #lose(error?: unknown): void {
    const { passcode } = this.#options.address;
    this.#end.resolve(busErrorOf(error, passcode));
    this.#socket.abort();
  }

  async #failed(): Promise<never> {
    throw await this.closed;
  }
}

/** Errors of amqplib for frames that are not AMQP 0.9.1, or that it cannot decode. */
const STRANGE =
  /^(?:Frame size|Invalid frame|Unknown frame type|Unknown class|Unexpected type tag|Frame on channel|Attempt to access memory|The value of "offset")/;

const ANOTHER = 'it may speak another protocol, or require TLS';

/** Errors of amqplib for connections that are lost or refused, in the words of this program. */
const REASONS: readonly (readonly [error: RegExp, reason: string, refused?: true])[] = [
  [/^Heartbeat timeout/, 'the broker has stopped sending heart-beats'],
  [/^Unexpected close/, 'the broker closed the connection'],
  [/^Socket closed abruptly/, `the broker closed the connection before it was open; ${ANOTHER}`],
  [STRANGE, `the broker sent something other than AMQP 0.9.1; ${ANOTHER}`],
  [/^SASL mechanism EXTERNAL/, 'the broker offers no login with a client certificate (EXTERNAL)', true],
  [/^SASL mechanism PLAIN/, 'the broker offers no login with a passcode (PLAIN)', true],
  // Its text is lost.
  [/^Expected ConnectionOpenOk; got <ConnectionClose/, 'the virtual host is missing, or not for this login', true],
];

function busErrorOf(cause: unknown, passcode: string | undefined): BusError {
  if (!(cause instanceof Error)) return new BusError('the broker closed the connection');
  const { message } = cause;
  const [, reason, refused = message.startsWith('Handshake terminated by server')] =
    REASONS.find(([error]) => error.test(message)) ?? [];
  // The text of a frame that closes the connection or a channel.
  const [, told] = /with message "([^]*)"$/.exec(message) ?? [];
  return new BusError(reason ?? firstLine(told ?? shortMessage(cause), passcode), { cause, refused });
}
