/**
 * Wraps stompit's client, and checks frames that would crash the process or fill its memory. The only file that imports
 * stompit.
 */
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import stompit from 'stompit';

/** The most bytes of a header line: RabbitMQ's frames, and so all headers of a message, have at most 128 KiB. */
const MAX_HEADER_BYTES = 128 * 1024;
const MAX_HEADERS = 1024;
/** The most characters of all header lines of a frame together. */
const MAX_HEAD_LENGTH = 1024 * 1024;
/** Headers of a message that its ACK repeats. */
const ECHOED = ['message-id', 'ack', 'subscription'];
const MAX_ECHOED_LENGTH = 4096;
/**
 * The most ACKs that wait in this process for the broker to read them. stompit’s recursion overflows the stack at
 * 5,000.
 */
const MAX_UNSENT_ACKS = 1_500;
const COMMANDS: ReadonlySet<string> = new Set(['CONNECTED', 'MESSAGE', 'RECEIPT', 'ERROR']);
const VERSIONS: ReadonlySet<string> = new Set(['1.0', '1.1', '1.2']);
/** A heart-beat header: two numbers of milliseconds that fit a timer (STOMP 1.2, "Heart-beating"). */
const HEARTBEAT = /^\s*\d{1,9}\s*,\s*\d{1,9}\s*$/;

/** A received frame. Its body must be read. */
export interface Frame extends Readable {
  readonly command: string;
  readonly headers: Readonly<Record<string, string>>;
}

type Table = Readonly<Record<string, unknown>>;
type ClientOptions = ConstructorParameters<typeof stompit.Client>[1];

/** A STOMP client on a socket. */
export class StompClient {
  readonly #client: stompit.Client;
  #unsentAcks = 0;

  /** @param heartbeat the interval in both directions, in milliseconds; 0 for none */
  constructor(socket: Socket, heartbeat: number) {
    this.#client = new stompit.Client(socket, {
      heartbeat: [heartbeat, heartbeat],
      // Tolerates late heart-beats on both sides.
      heartbeatDelayMargin: heartbeat / 2,
      heartbeatOutputMargin: heartbeat / 10,
      maxLineLength: MAX_HEADER_BYTES,
      maxHeaders: MAX_HEADERS,
    } as ClientOptions);
    const incoming = Reflect.get(this.#client, '_incoming') as Readable;
    boundHeads(incoming);
    this.#checkFrames(incoming);
  }

  /** Registers a listener for the error that ends the connection. */
  onError(onError: (error: Error) => void): void {
    this.#client.on('error', onError);
  }

  /** Sends CONNECT. `onErrorFrame` handles the ERROR frames of the connection. */
  connect(
    headers: Readonly<Record<string, string>>,
    onConnect: () => void,
    onErrorFrame: (frame: Frame) => void,
  ): void {
    // stompit 1.0.0's own handler crashes the process: it destroys the frame instead of the connection, with an
    // unhandled error.
    const listen = (): void =>
      this.#client.setCommandHandler('ERROR', (frame) => onErrorFrame(frame as unknown as Frame));
    this.#client.once('connect', () => {
      // Replaces the handler that stompit has just set, before the next frame.
      listen();
      onConnect();
    });
    this.#client.connect({ ...headers });
    listen();
  }

  /** Sends SUBSCRIBE, and resolves when the broker has confirmed it. */
  subscribe(
    headers: Readonly<Record<string, string>> & { readonly id: string; readonly ack: 'client-individual' },
    onMessage: (frame: Frame) => void,
  ): Promise<void> {
    // Not `subscribe`, which does not report the receipt. The types want a number as id, but STOMP allows any text.
    this.#client.setImplicitSubscription(headers.id as unknown as number, headers.ack, (error, frame) => {
      if (error === null) onMessage(frame as unknown as Frame);
    });
    return new Promise((onReceipt) => {
      this.#client.sendFrame('SUBSCRIBE', { ...headers }, { onReceipt } as stompit.Client.SendOptions).end();
    });
  }

  /** Acknowledges a message. */
  ack(frame: Frame): void {
    if (++this.#unsentAcks > MAX_UNSENT_ACKS) this.destroy(new Error('the broker does not read what it is sent'));
    else this.#client.ack(frame as unknown as stompit.Client.Message, undefined, undefined, () => this.#unsentAcks--);
  }

  /** Sends DISCONNECT, and closes the connection after the broker's receipt. */
  disconnect(): void {
    this.#client.disconnect();
  }

  /** Closes the connection at once, with an error for the listener. */
  destroy(error: Error): void {
    this.#client.destroy(error);
  }

  /**
   * Rejects frames that name members of Object.prototype: stompit looks names up in plain objects and calls what it
   * finds.
   */
  #checkFrames(incoming: Readable): void {
    const read = incoming.read.bind(incoming);
    incoming.read = (size) => {
      const frame = read(size) as Frame | null;
      const fault = frame === null ? undefined : this.#faultOf(frame);
      if (fault === undefined) return frame;
      this.destroy(new Error(`the broker sent ${fault}`));
      return null;
    };
  }

  /** Describes what is wrong with a frame, without quoting it; `undefined` for a valid one. */
  #faultOf({ command, headers }: Frame): string | undefined {
    const { version = '1.0', 'heart-beat': heartbeat = '0,0', 'receipt-id': receipt = '', subscription = '' } = headers;
    const table = (name: string): Table => Reflect.get(this.#client, name) as Table;
    if (!COMMANDS.has(command)) return 'something other than STOMP';
    if (!Object.hasOwn(table('_commandHandlers'), command)) return `an unexpected ${command}`;
    if (command === 'CONNECTED' && !VERSIONS.has(version)) return 'a version of STOMP that was not requested';
    if (command === 'CONNECTED' && !HEARTBEAT.test(heartbeat)) return 'a heart-beat that is not two numbers';
    if (command === 'RECEIPT' && !Object.hasOwn(table('_receipts'), receipt)) return 'a receipt that was not requested';
    if (command === 'MESSAGE' && !Object.hasOwn(table('_subscriptions'), subscription))
      return 'a message for an unknown subscription';
    if (ECHOED.some((name) => (headers[name]?.length ?? 0) > MAX_ECHOED_LENGTH))
      return 'a message with an id of over 4 KiB';
    return undefined;
  }
}

/**
 * Limits the total length of a frame's headers, and keeps a header named `hasOwnProperty` from hiding the method, which
 * stompit calls.
 */
function boundHeads(incoming: Readable): void {
  let headers = Reflect.get(incoming, '_headers') as object;
  let length = 0;
  Object.defineProperty(incoming, '_headers', {
    get: () => headers,
    // Called for each frame.
    set: (fresh: object) => {
      length = 0;
      headers = Object.defineProperty(fresh, 'hasOwnProperty', { value: (name: string) => Object.hasOwn(fresh, name) });
    },
  });
  const parseLine = Reflect.get(incoming, '_parseLine') as () => string | null;
  Reflect.set(incoming, '_parseLine', () => {
    const line = parseLine.call(incoming);
    length += line?.length ?? 0;
    // Throws the error that stompit handles as a protocol error.
    if (length > MAX_HEAD_LENGTH) (Reflect.get(incoming, '_exceededLineLengthLimit') as () => never).call(incoming);
    return line;
  });
}
