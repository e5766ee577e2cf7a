/** Connection to a broker as the bus needs it, whatever the protocol. */
import type { BusAddress } from './bus-url.ts';

const MAX_REASON_LENGTH = 300;

/**
 * Messages to receive: with STOMP a destination, and headers for its SUBSCRIBE such as those of a durable subscription;
 * with AMQP a routing key, which may have wildcards.
 */
export interface BusDestination {
  readonly destination: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Certificates and key as PEM. Without `ca`, the system's authorities are trusted; without `cert`, no client
 * certificate is shown.
 */
export interface BusTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** A received message, to be acknowledged. */
export interface BusMessage {
  /** The destination of the subscription; with AMQP, the routing key of the message. */
  readonly destination: string;
  /** The body; `undefined` if it is over 1 MiB. */
  readonly body: Uint8Array | undefined;
  readonly ack: () => void;
}

/** Settings of one connection. */
export interface ConnectionOptions {
  readonly address: BusAddress;
  readonly tls: BusTls;
  readonly destinations: readonly BusDestination[];
  /** The interval of heart-beats in both directions, in milliseconds; 0 for none. */
  readonly heartbeat: number;
  /** The time for connecting and subscribing, in milliseconds. */
  readonly timeout: number;
  readonly onMessage: (message: BusMessage) => void;
  /** Disconnects when aborted. The broker keeps the unacknowledged messages of what outlives the connection. */
  readonly signal: AbortSignal;
}

/** A connection to one broker with its subscriptions. */
export interface BrokerConnection {
  /** Resolves with the reason when the connection is closed. */
  readonly closed: Promise<BusError>;
  /** With AMQP, the name of its queue. */
  readonly queue?: string | undefined;
}

/** The reason why a connection failed or was lost. Its message holds no passcode. */
export class BusError extends Error {
  override readonly name = 'BusError';
  /** The broker refused the login, the passcode or the virtual host. */
  readonly refused: boolean;

  constructor(message: string, { refused = false, ...options }: ErrorOptions & { readonly refused?: boolean } = {}) {
    super(message, options);
    this.refused = refused;
  }
}

/** The message of an error in at most 300 characters; those of all addresses of a host. */
export function shortMessage(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map(String).join(', ');
  // The message of an error of OpenSSL names its sources.
  if ('library' in error && 'reason' in error) return `TLS: ${String(error.reason)}`;
  return error.message.slice(0, MAX_REASON_LENGTH);
}

/** The first line of what a broker says, without its full stop, so that a sentence can go on, and without a passcode. */
export function firstLine(text: string, passcode: string | undefined): string {
  const line = (/^.*/.exec(text.trim())?.[0] ?? '').replace(/\.$/, '');
  return passcode === undefined || passcode === '' ? line : line.replaceAll(passcode, '***');
}
