/** One connection to a broker, subscribed to its destinations (STOMP 1.2). */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { BusAddress } from './bus-url.ts';
import { StompClient, type Frame } from './stomp-client.ts';

/** Longer bodies are not kept. */
const MAX_BODY_BYTES = 1024 * 1024;
/** In milliseconds, for the broker to say goodbye. */
const DISCONNECT_TIMEOUT = 2_000;
const MAX_REASON_LENGTH = 300;
/**
 * How many messages a broker sends before it waits for the first to be acknowledged, by ActiveMQ's word and by RabbitMQ's. Neither has
 * a limit worth the name by itself, and after thousands of messages at once Linux may get nothing through any more, either way: the
 * broker is busy writing, its own receive buffer is full of acknowledgements, and what the full buffer turns away is what would tell
 * it that its messages have arrived.
 */
const PREFETCH = { 'activemq.prefetchSize': '100', 'prefetch-count': '100' };

/** A destination and the headers of its SUBSCRIBE, such as those of a durable subscription. */
export interface BusDestination {
  readonly destination: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** PEM; what is missing is the system's, or none. */
export interface BusTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** A message that has arrived and waits to be acknowledged. */
export interface StompMessage {
  /** The destination as it was subscribed to. */
  readonly destination: string;
  /** `undefined` if it is over 1 MiB. */
  readonly body: Uint8Array | undefined;
  readonly ack: () => void;
}

export interface StompConnectionOptions {
  readonly address: BusAddress;
  readonly tls: BusTls;
  /** Of CONNECT. */
  readonly headers: Readonly<Record<string, string>>;
  readonly destinations: readonly BusDestination[];
  /** Both ways, in milliseconds; 0 for none. */
  readonly heartbeat: number;
  /** For connecting and subscribing, in milliseconds. */
  readonly timeout: number;
  readonly onMessage: (message: StompMessage) => void;
  /** When it is aborted, the connection takes leave of the broker, which keeps what durable subscriptions have not acknowledged. */
  readonly signal: AbortSignal;
}

/** Why there is no connection, or none any more; its message holds no passcode. */
export class StompError extends Error {
  override readonly name = 'StompError';
  /** The broker answered CONNECT with an ERROR: it does not like the login, the passcode or the virtual host. */
  readonly refused: boolean;

  constructor(message: string, { refused = false, ...options }: ErrorOptions & { readonly refused?: boolean } = {}) {
    super(message, options);
    this.refused = refused;
  }
}

export class StompConnection {
  readonly #options: StompConnectionOptions;
  readonly #socket: Socket;
  readonly #client: StompClient;
  #accepted = false;
  /** Resolves when the connection is gone, with the reason. */
  readonly closed: Promise<StompError>;

  private constructor(options: StompConnectionOptions) {
    const { address, tls, heartbeat } = options;
    const { host, port } = address;
    this.#options = options;
    this.#socket = address.tls ? connectTls({ host, port, ...tls, ...(isIP(host) === 0 && { servername: host }) }) : connectTcp({ host, port });
    // A frame is several small writes.
    this.#socket.setNoDelay(true);
    // So that a broker which sends no heart-beats can be seen to be gone, too.
    this.#socket.setKeepAlive(true, heartbeat);
    this.#client = new StompClient(this.#socket, heartbeat);
    this.closed = this.#gone();
  }

  /**
   * Connects and subscribes; resolves when the broker has confirmed both.
   * @throws StompError, also when the signal is aborted meanwhile.
   */
  static async open(options: StompConnectionOptions): Promise<StompConnection> {
    const connection = new StompConnection(options);
    const timer = setTimeout(() => connection.#giveUp(`no answer within ${options.timeout / 1000} s`), options.timeout);
    try {
      await Promise.race([connection.#subscribeToAll(), connection.#failed()]);
    } finally {
      clearTimeout(timer);
    }
    return connection;
  }

  #giveUp(reason: string): void {
    this.#client.destroy(new Error(reason));
  }

  #takeLeave(): void {
    if (!this.#accepted) this.#giveUp('not needed any more');
    else {
      this.#client.disconnect();
      const timer = setTimeout(() => this.#socket.destroy(), DISCONNECT_TIMEOUT);
      this.#socket.once('close', () => clearTimeout(timer));
    }
  }

  /** Never settles if the connection goes while it waits. */
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
      const connectHeaders = { ...headers, 'accept-version': '1.1,1.2', host, ...(login !== undefined && { login }), ...(passcode !== undefined && { passcode }) };
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
    const tell = (body: Uint8Array = Buffer.of()): void => {
      // ActiveMQ says the same in both.
      const lines = new Set([frame.headers.message ?? 'ERROR', Buffer.from(body).toString()].map(firstLine));
      lines.delete('');
      this.#client.destroy(new ErrorFrame(this.#withoutPasscode([...lines].join(': '))));
    };
    const timer = setTimeout(tell, DISCONNECT_TIMEOUT);
    this.#socket.once('close', () => clearTimeout(timer));
    readBody(frame, tell);
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
    const onAbort = (): void => this.#takeLeave();
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    await new Promise((resolve) => {
      this.#socket.once('close', resolve);
    });
    signal.removeEventListener('abort', onAbort);
    return new StompError(reasonOf(cause), { cause, refused: cause instanceof ErrorFrame && !this.#accepted });
  }

  /** Brokers may quote what they do not like. */
  #withoutPasscode(text: string): string {
    const passcode = this.#options.address.passcode ?? this.#options.headers.passcode;
    return passcode === undefined || passcode === '' ? text : text.replaceAll(passcode, '***');
  }
}

/** The broker's own word. */
class ErrorFrame extends Error {}

/** Reads the body of a frame to its end; gives `undefined` for one over 1 MiB. */
function readBody(frame: Readable, onBody: (body: Buffer | undefined) => void): void {
  // One buffer that grows: a body may come byte by byte.
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

/** Why the connection is gone, in one line. */
function reasonOf(error: Error | undefined): string {
  if (error === undefined || error.message.startsWith('connection ended')) return 'the broker closed the connection';
  if (error.message === 'unexpected end of stream') return 'the broker closed the connection within a frame, as one that does not speak STOMP does';
  if (error.message === 'connection timed out') return 'the broker was silent for longer than its heart-beats allow';
  // Of several addresses of one host.
  if (error instanceof AggregateError) return error.errors.map(String).join(', ');
  return error.message.slice(0, MAX_REASON_LENGTH);
}

/** Without the full stop, so that it can go on. */
function firstLine(text: string): string {
  return (/^.*/.exec(text.trim())?.[0] ?? '').replace(/\.$/, '');
}
