/**
 * Wraps amqplib's connection, so that no broker can end the process or fill its memory. The only file that imports
 * amqplib.
 */
import type { Socket } from 'node:net';
import { connect, credentials, type Channel, type ChannelModel, type Message } from 'amqplib';
import { BoundedBody } from './bounded-body.ts';
import type { BusTls } from './broker-connection.ts';
import type { BusAddress } from './bus-url.ts';

/** The size of frames that the broker is asked for, which is RabbitMQ's own; larger ones end the connection. */
const FRAME_BYTES = 128 * 1024;
const READ_BYTES = 64 * 1024;
/** The most unacknowledged messages. */
const PREFETCH = 100;
/** The most acknowledgements that wait in this process for the broker to read them. */
const MAX_UNSENT_ACKS = 10 * PREFETCH;
/** `basic.deliver`: class 60, method 60. */
const DELIVER = 0x3c_00_3c;

/** Settings of a client. */
export interface AmqpClientOptions {
  readonly address: BusAddress;
  readonly tls: BusTls;
  /** The interval of heart-beats in both directions, in milliseconds; 0 for none. */
  readonly heartbeat: number;
  /** Closes the socket when aborted. */
  readonly signal: AbortSignal;
  /** Called when the connection, or the channel that consumes, is lost; several times in some cases. */
  readonly onLost: (error?: Error) => void;
}

/** A message without its acknowledgement. */
export interface AmqpMessage {
  readonly routingKey: string;
  /** `undefined` if it is over 1 MiB. */
  readonly body: Buffer | undefined;
  readonly ack: () => void;
}

/** A frame as amqplib decodes it: a method, the header of a message with its `size`, or a piece of its body. */
interface Frame {
  readonly id?: number;
  readonly fields?: Message['fields'];
  readonly size?: number;
  readonly content?: Buffer;
}

/** Says whether a client of AMQP logs in with its certificate: if it has one, and no passcode. */
export function usesCertificate({ protocol, tls, passcode }: BusAddress, hasCertificate: boolean): boolean {
  return protocol === 'amqp' && tls && hasCertificate && passcode === undefined;
}

/** An open connection to a broker. */
export class AmqpClient {
  readonly #model: ChannelModel;
  readonly #socket: Socket | undefined;
  readonly #onLost: AmqpClientOptions['onLost'];
  #consumer: Channel | undefined;
  #unsentAcks = 0;

  private constructor(model: ChannelModel, socket: Socket | undefined, onLost: AmqpClientOptions['onLost']) {
    this.#model = model.on('error', onLost).on('close', onLost);
    this.#socket = socket;
    this.#onLost = onLost;
  }

  /** Connects and logs in. */
  static async open({ address, tls, heartbeat, signal, onLost }: AmqpClientOptions): Promise<AmqpClient> {
    const { host, port, virtualHost, login = 'guest', passcode } = address;
    const reading: { isOpen: boolean; socket?: Socket } = { isOpen: false };
    // Byte by byte until the connection is open: amqplib has no listener for errors before that, so that an error which
    // comes together with the frame that opens it would end the process.
    const onread = {
      buffer: () => Buffer.allocUnsafe(reading.isOpen ? READ_BYTES : 1),
      // Node.js calls it as a method of the socket.
      callback(this: Socket, length: number, buffer: Uint8Array): boolean {
        reading.socket = this;
        return this.push(buffer.subarray(0, length));
      },
    };
    const socketOptions = {
      ...tls,
      signal,
      onread,
      noDelay: true,
      // Detects the loss of a broker that does not send heart-beats.
      keepAlive: true,
      keepAliveDelay: heartbeat,
      // Fedora asks for `app`.
      clientProperties: { connection_name: 'regindexer', app: 'regindexer' },
      credentials: usesCertificate(address, tls.cert !== undefined)
        ? credentials.external()
        : credentials.plain(login, passcode ?? (address.login === undefined ? 'guest' : '')),
    };
    const model = await connect(
      {
        protocol: address.tls ? 'amqps' : 'amqp',
        hostname: host,
        port,
        // amqplib decodes it.
        vhost: encodeURIComponent(virtualHost),
        // In whole seconds.
        heartbeat: Math.ceil(heartbeat / 1000),
        frameMax: FRAME_BYTES,
        maxFrameSize: FRAME_BYTES,
      },
      socketOptions,
    );
    reading.isOpen = true;
    return new AmqpClient(model, reading.socket, onLost);
  }

  /** Runs requests on a channel of their own, because a broker closes the channel of a request that it refuses. */
  async request<T>(run: (channel: Channel) => Promise<T>): Promise<T> {
    const channel = await this.#model.createChannel();
    // The refused request rejects.
    channel.on('error', () => undefined);
    const result = await run(channel);
    await channel.close();
    return result;
  }

  /** Consumes a queue until the connection is closed. */
  async consume(queue: string, onMessage: (message: AmqpMessage) => void): Promise<void> {
    const channel = await this.#model.createChannel();
    this.#consumer = channel.on('error', this.#onLost);
    this.#takeMessages(channel, onMessage);
    await channel.prefetch(PREFETCH);
    await channel.consume(queue, () => this.#onLost(new Error(`the broker has deleted the queue ${queue}`)));
  }

  /** Sends what was acknowledged, and closes the connection. */
  async close(): Promise<void> {
    await this.#consumer?.close();
    await this.#model.close();
  }

  /** Takes the frames of messages before amqplib, which would collect a body of any size. */
  #takeMessages(channel: Channel, onMessage: (message: AmqpMessage) => void): void {
    const accept = (Reflect.get(channel, 'accept') as (frame: Frame) => void).bind(channel);
    let fields: Frame['fields'];
    let size: number | undefined;
    let body = new BoundedBody();
    Reflect.set(channel, 'accept', (frame: Frame) => {
      if (frame.id === DELIVER) ({ fields } = frame);
      else if (fields !== undefined && frame.size !== undefined) ({ size } = frame);
      else if (size !== undefined && frame.content !== undefined) body.append(frame.content);
      else return accept(frame);
      if (fields === undefined || size === undefined || body.length < size) return;
      const message = { fields } as Message;
      const { bytes } = body;
      [fields, size, body] = [undefined, undefined, new BoundedBody()];
      onMessage({ routingKey: message.fields.routingKey, body: bytes, ack: () => this.#ack(channel, message) });
    });
  }

  #ack(channel: Channel, message: Message): void {
    this.#unsentAcks = this.#socket?.writableNeedDrain === true ? this.#unsentAcks + 1 : 0;
    if (this.#unsentAcks > MAX_UNSENT_ACKS) this.#onLost(new Error('the broker does not read what it is sent'));
    else channel.ack(message);
  }
}
