/** One connection to a broker, subscribed to its destinations (STOMP 1.2). */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { BusAddress } from './bus-url.ts';
import { StompClient, type Frame } from './stomp-client.ts';

/** Longer bodies are discarded. */
const MAX_BODY_BYTES = 1024 * 1024;
/** The time for the broker to confirm DISCONNECT, or to send the body of an ERROR, in milliseconds. */
const DISCONNECT_TIMEOUT = 2_000;
const MAX_REASON_LENGTH = 300;
/**
 * The most unacknowledged messages, in ActiveMQ's and RabbitMQ's header; their defaults are too high or unlimited.
 * After thousands at once both sides can deadlock on full socket buffers: the broker writes without reading ACKs.
 */
const PREFETCH = { 'activemq.prefetchSize': '100', 'prefetch-count': '100' };

/** A destination, and headers for its SUBSCRIBE, such as those of a durable subscription. */
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
export interface StompMessage {
  /** The destination of the subscription. */
  readonly destination: string;
  /** The body; `undefined` if it is over 1 MiB. */
  readonly body: Uint8Array | undefined;
  readonly ack: () => void;
}

/** Settings of one connection. */
export interface StompConnectionOptions {
  readonly address: BusAddress;
  readonly tls: BusTls;
  /** Headers for CONNECT. */
  readonly headers: Readonly<Record<string, string>>;
  readonly destinations: readonly BusDestination[];
  /** The interval of heart-beats in both directions, in milliseconds; 0 for none. */
  readonly heartbeat: number;
  /** The time for connecting and subscribing, in milliseconds. */
  readonly timeout: number;
  readonly onMessage: (message: StompMessage) => void;
  /** Disconnects when aborted. The broker keeps the unacknowledged messages of durable subscriptions. */
  readonly signal: AbortSignal;
}

/** The reason why a connection failed or was lost. Its message holds no passcode. */
export class StompError extends Error {
  override readonly name = 'StompError';
  /** The broker answered CONNECT with ERROR: the login, passcode or virtual host is wrong. */
  readonly refused: boolean;

  constructor(message: string, { refused = false, ...options }: ErrorOptions & { readonly refused?: boolean } = {}) {
    super(message, options);
    this.refused = refused;
  }
}

/** A connection to one broker with its subscriptions. */
export class StompConnection {
  readonly #options: StompConnectionOptions;
  readonly #socket: Socket;
  readonly #client: StompClient;
  #accepted = false;
  /** Resolves with the reason when the connection is closed. */
  readonly closed: Promise<StompError>;

  private constructor(options: StompConnectionOptions) {
    const { address, tls, heartbeat } = options;
    const { host, port } = address;
    this.#options = options;
    this.#socket = address.tls
      ? connectTls({ host, port, ...tls, ...(isIP(host) === 0 && { servername: host }) })
      : connectTcp({ host, port });
    // Frames are written in several small pieces, which Nagle's algorithm would delay.
    this.#socket.setNoDelay(true);
    // Detects the loss of a broker that does not send heart-beats.
    this.#socket.setKeepAlive(true, heartbeat);
    this.#client = new StompClient(this.#socket, heartbeat);
    this.closed = this.#gone();
  }

  /**
   * Connects and subscribes, and resolves when the broker has confirmed both.
   * @throws StompError, also if the signal is aborted.
   */
  static async open(options: StompConnectionOptions): Promise<StompConnection> {
    const connection = new StompConnection(options);
    const timer = setTimeout(
      () => connection.#destroy(`no answer within ${options.timeout / 1000} s`),
      options.timeout,
    );
    try {
      await Promise.race([connection.#subscribeToAll(), connection.#failed()]);
    } finally {
      clearTimeout(timer);
    }
    return connection;
  }

  #destroy(reason: string): void {
    this.#client.destroy(new Error(reason));
  }

  #disconnect(): void {
    if (!this.#accepted) this.#destroy('cancelled');
    else {
      this.#client.disconnect();
      const timer = setTimeout(() => this.#socket.destroy(), DISCONNECT_TIMEOUT);
      this.#socket.once('close', () => clearTimeout(timer));
    }
  }

  /** Subscribes to all destinations. Never settles if the connection is lost meanwhile. */
  async #subscribeToAll(): Promise<void> {
    const { address, headers, destinations } = this.#options;
    const { virtualHost: host, login, passcode } = address;
    await new Promise((resolve) => {
      this.#socket.once(address.tls ? 'secureConnect' : 'connect', resolve);
    });
    await new Promise<void>((resolve) => {
      const onConnect = (): void => {
        this.#accepted = true;
        resolve();
      };
      const connectHeaders = {
        ...headers,
        'accept-version': '1.1,1.2',
        host,
        ...(login !== undefined && { login }),
        ...(passcode !== undefined && { passcode }),
      };
      this.#client.connect(connectHeaders, onConnect, (frame) => this.#receiveError(frame));
    });
    await Promise.all(destinations.map((destination, position) => this.#subscribe(destination, position)));
  }

  #subscribe({ destination, headers }: BusDestination, position: number): Promise<void> {
    const id = headers?.id ?? `regindexer-${position}`;
    return this.#client.subscribe({ ...PREFETCH, ...headers, id, destination, ack: 'client-individual' }, (frame) => {
      readBody(frame, (body) => this.#options.onMessage({ destination, body, ack: () => this.#client.ack(frame) }));
    });
  }

  #receiveError(frame: Frame): void {
    const report = (body: Uint8Array = Buffer.of()): void => {
      // ActiveMQ repeats the header in the body.
      const lines = new Set([frame.headers.message ?? 'ERROR', Buffer.from(body).toString()].map(firstLine));
      lines.delete('');
      this.#client.destroy(new ErrorFrame(this.#withoutPasscode([...lines].join(': '))));
    };
    const timer = setTimeout(report, DISCONNECT_TIMEOUT);
    this.#socket.once('close', () => clearTimeout(timer));
    readBody(frame, report);
  }

  async #failed(): Promise<never> {
    throw await this.closed;
  }

  async #gone(): Promise<StompError> {
    let cause: Error | undefined;
    this.#client.onError((error) => {
      cause ??= error;
    });
    const { signal } = this.#options;
    const onAbort = (): void => this.#disconnect();
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    await new Promise((resolve) => {
      this.#socket.once('close', resolve);
    });
    signal.removeEventListener('abort', onAbort);
    return new StompError(reasonOf(cause), { cause, refused: cause instanceof ErrorFrame && !this.#accepted });
  }

  /** Removes the passcode, which brokers may quote in errors. */
  #withoutPasscode(text: string): string {
    const passcode = this.#options.address.passcode ?? this.#options.headers.passcode;
    return passcode === undefined || passcode === '' ? text : text.replaceAll(passcode, '***');
  }
}

/** The text of an ERROR frame. */
class ErrorFrame extends Error {}

/** Reads the body of a frame to its end; `onBody` gets `undefined` for one over 1 MiB. */
function readBody(frame: Readable, onBody: (body: Buffer | undefined) => void): void {
  // One growing buffer, because a body may come byte by byte.
  let body: Buffer = Buffer.of();
  let length = 0;
  frame.on('data', (chunk: Buffer) => {
    const end = length + chunk.length;
    if (end <= MAX_BODY_BYTES) {
      if (end > body.length) body = Buffer.concat([body], Math.max(end, 2 * body.length));
      chunk.copy(body, length);
    } else body = Buffer.of();
    length = end;
  });
  frame.on('end', () => onBody(length <= MAX_BODY_BYTES ? body.subarray(0, length) : undefined));
}

/** The reason why the connection was closed, in one line. */
function reasonOf(error: Error | undefined): string {
  if (error === undefined || error.message.startsWith('connection ended')) return 'the broker closed the connection';
  if (error.message === 'unexpected end of stream')
    return 'the broker closed the connection within a frame; it may not speak STOMP';
  if (error.message === 'connection timed out') return 'the broker has stopped sending heart-beats';
  // Errors of several addresses of one host.
  if (error instanceof AggregateError) return error.errors.map(String).join(', ');
  return error.message.slice(0, MAX_REASON_LENGTH);
}

/** The first line of a text, without its full stop, so that a sentence can go on. */
function firstLine(text: string): string {
  return (/^.*/.exec(text.trim())?.[0] ?? '').replace(/\.$/, '');
}
