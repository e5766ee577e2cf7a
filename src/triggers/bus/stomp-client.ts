/** stompit's client, kept from frames that would end the process or fill its memory. The only file that knows stompit. */
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import stompit from 'stompit';

/** RabbitMQ's frames, and with them all headers of a message, are at most 128 KiB. */
const MAX_HEADER_BYTES = 128 * 1024;
const MAX_HEADERS = 1024;
/** All header lines of a frame together, in characters. */
const MAX_HEAD_LENGTH = 1024 * 1024;
/** Headers that are sent back when a message is acknowledged. */
const ECHOED = ['message-id', 'ack', 'subscription'];
const MAX_ECHOED_LENGTH = 4096;
/** Acknowledgements that wait for the broker to read, beyond what the kernel holds. stompit’s recursion overflows the stack at 5,000. */
const MAX_UNSENT_ACKS = 1_500;
const COMMANDS: ReadonlySet<string> = new Set(['CONNECTED', 'MESSAGE', 'RECEIPT', 'ERROR']);
const VERSIONS: ReadonlySet<string> = new Set(['1.0', '1.1', '1.2']);
/** Two numbers of milliseconds that a timer can take. */
const HEARTBEAT = /^\s*\d{1,9}\s*,\s*\d{1,9}\s*$/;

/** A frame that has arrived; its body is to be read. */
export interface Frame extends Readable {
  readonly command: string;
  readonly headers: Readonly<Record<string, string>>;
}

type Table = Readonly<Record<string, unknown>>;
type ClientOptions = ConstructorParameters<typeof stompit.Client>[1];

export class StompClient {
  readonly #client: stompit.Client;
  #unsentAcks = 0;

  /** @param heartbeat both ways, in milliseconds; 0 for none */
  constructor(socket: Socket, heartbeat: number) {
    this.#client = new stompit.Client(socket, {
      heartbeat: [heartbeat, heartbeat],
      // A beat may be late a little without the connection being given up: by either side.
      heartbeatDelayMargin: heartbeat / 2,
      heartbeatOutputMargin: heartbeat / 10,
      maxLineLength: MAX_HEADER_BYTES,
      maxHeaders: MAX_HEADERS,
    } as ClientOptions);
    const incoming = Reflect.get(this.#client, '_incoming') as Readable;
    boundHeads(incoming);
    this.#checkFrames(incoming);
  }

  /** `onError` hears once why the connection is given up. */
  onError(onError: (error: Error) => void): void {
    this.#client.on('error', onError);
  }

  /** Sends CONNECT; `onError` gets the ERROR frames of the connection, whose handling is left to it. */
  connect(headers: Readonly<Record<string, string>>, onConnect: () => void, onErrorFrame: (frame: Frame) => void): void {
    // stompit 1.0.0's own handler ends the process: it destroys the frame where it means the connection, with an error that nobody hears.
    const listen = (): void => this.#client.setCommandHandler('ERROR', (frame) => onErrorFrame(frame as unknown as Frame));
    this.#client.once('connect', () => {
      // In place of what stompit has just set, before another frame can come.
      listen();
      onConnect();
    });
    this.#client.connect({ ...headers });
    listen();
  }

  /** Sends SUBSCRIBE; resolves when the broker has confirmed it. */
  subscribe(headers: Readonly<Record<string, string>> & { readonly id: string; readonly ack: 'client-individual' }, onMessage: (frame: Frame) => void): Promise<void> {
    // Not `subscribe`, which tells nothing of the broker's receipt. The types want a number as id, STOMP any text.
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

  /** Takes leave of the broker. */
  disconnect(): void {
    this.#client.disconnect();
  }

  destroy(error: Error): void {
    this.#client.destroy(error);
  }

  /** stompit looks up what a frame names in plain objects, where `__proto__` and `toString` are found, too, and calls it. */
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

  /** What is wrong with a frame, without a word of the broker's; `undefined` for a good one. */
  #faultOf({ command, headers }: Frame): string | undefined {
    const { version = '1.0', 'heart-beat': heartbeat = '0,0', 'receipt-id': receipt = '', subscription = '' } = headers;
    const table = (name: string): Table => Reflect.get(this.#client, name) as Table;
    if (!COMMANDS.has(command)) return 'something else than STOMP';
    if (!Object.hasOwn(table('_commandHandlers'), command)) return `${command} out of turn`;
    if (command === 'CONNECTED' && !VERSIONS.has(version)) return 'a version of STOMP that it was not asked for';
    if (command === 'CONNECTED' && !HEARTBEAT.test(heartbeat)) return 'a heart-beat that is not two numbers';
    if (command === 'RECEIPT' && !Object.hasOwn(table('_receipts'), receipt)) return 'a receipt that it was not asked for';
    if (command === 'MESSAGE' && !Object.hasOwn(table('_subscriptions'), subscription)) return 'a message for a subscription that it was not asked for';
    if (ECHOED.some((name) => (headers[name]?.length ?? 0) > MAX_ECHOED_LENGTH)) return 'a message with an id of over 4 KiB';
    return undefined;
  }
}

/**
 * Bounds the headers of a frame together, and keeps them readable: stompit asks them for `hasOwnProperty`, which may be the name of one.
 */
function boundHeads(incoming: Readable): void {
  let headers = Reflect.get(incoming, '_headers') as object;
  let length = 0;
  Object.defineProperty(incoming, '_headers', {
    get: () => headers,
    // Set anew for each frame.
    set: (fresh: object) => {
      length = 0;
      headers = Object.defineProperty(fresh, 'hasOwnProperty', { value: (name: string) => Object.hasOwn(fresh, name) });
    },
  });
  const parseLine = Reflect.get(incoming, '_parseLine') as () => string | null;
  Reflect.set(incoming, '_parseLine', () => {
    const line = parseLine.call(incoming);
    length += line?.length ?? 0;
    // Throws what stompit takes for an error of the broker.
    if (length > MAX_HEAD_LENGTH) (Reflect.get(incoming, '_exceededLineLengthLimit') as () => never).call(incoming);
    return line;
  });
}
