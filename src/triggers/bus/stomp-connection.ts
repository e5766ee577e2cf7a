/** One connection to a broker, subscribed to its destinations (STOMP 1.2). */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { BoundedBody } from './bounded-body.ts';
import {
  BusError,
  firstLine,
  shortMessage,
  type BrokerConnection,
  type BusDestination,
  type ConnectionOptions,
} from './broker-connection.ts';
import { StompClient, type Frame } from './stomp-client.ts';

/** The time for the broker to confirm DISCONNECT, or to send the body of an ERROR, in milliseconds. */
const DISCONNECT_TIMEOUT = 2_000;
/**
 * The most unacknowledged messages, in ActiveMQ's and RabbitMQ's header; their defaults are too high or unlimited.
 * After thousands at once both sides can deadlock on full socket buffers: the broker writes without reading ACKs.
 */
const PREFETCH = { 'activemq.prefetchSize': '100', 'prefetch-count': '100' };

/** Settings of one connection. */
export interface StompConnectionOptions extends ConnectionOptions {
  /** Headers for CONNECT. */
  readonly headers: Readonly<Record<string, string>>;
}

/** A connection to one broker with its subscriptions. */
export class StompConnection implements BrokerConnection {
  readonly #options: StompConnectionOptions;
  readonly #socket: Socket;
  readonly #client: StompClient;
  #accepted = false;
  readonly closed: Promise<BusError>;

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
   * @throws BusError, also if the signal is aborted.
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
      const passcode = this.#options.address.passcode ?? this.#options.headers.passcode;
      // ActiveMQ repeats the header in the body.
      const texts = [frame.headers.message ?? 'ERROR', Buffer.from(body).toString()];
      const lines = new Set(texts.map((text) => firstLine(text, passcode)));
      lines.delete('');
      this.#client.destroy(new ErrorFrame([...lines].join(': ')));
    };
    const timer = setTimeout(report, DISCONNECT_TIMEOUT);
    this.#socket.once('close', () => clearTimeout(timer));
    readBody(frame, report);
  }

  async #failed(): Promise<never> {
    throw await this.closed;
  }

  async #gone(): Promise<BusError> {
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
    return new BusError(reasonOf(cause), { cause, refused: cause instanceof ErrorFrame && !this.#accepted });
  }
}

/** The text of an ERROR frame. */
class ErrorFrame extends Error {}

/** Reads the body of a frame to its end; `onBody` gets `undefined` for one over 1 MiB. */
function readBody(frame: Readable, onBody: (bytes: Buffer | undefined) => void): void {
  const body = new BoundedBody();
  frame.on('data', (piece: Buffer) => body.append(piece));
  frame.on('end', () => onBody(body.bytes));
}

/** The reason why the connection was closed, in one line. */
function reasonOf(error: Error | undefined): string {
  if (error === undefined || error.message.startsWith('connection ended')) return 'the broker closed the connection';
  if (error.message === 'unexpected end of stream')
    return 'the broker closed the connection within a frame; it may not speak STOMP';
  if (error.message === 'connection timed out') return 'the broker has stopped sending heart-beats';
  return shortMessage(error);
}
