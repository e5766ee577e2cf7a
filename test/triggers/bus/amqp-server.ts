/** A broker that speaks AMQP 0.9.1, and whose behaviour the test defines. */
import { EventEmitter, once } from 'node:events';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';

/** Methods by their class and number (AMQP 0.9.1, XML specification). */
const METHODS = {
  start: [10, 10],
  startOk: [10, 11],
  tune: [10, 30],
  tuneOk: [10, 31],
  open: [10, 40],
  openOk: [10, 41],
  close: [10, 50],
  closeOk: [10, 51],
  blocked: [10, 60],
  channelOpen: [20, 10],
  channelOpenOk: [20, 11],
  channelClose: [20, 40],
  channelCloseOk: [20, 41],
  declare: [50, 10],
  declareOk: [50, 11],
  bind: [50, 20],
  bindOk: [50, 21],
  qos: [60, 10],
  qosOk: [60, 11],
  consume: [60, 20],
  consumeOk: [60, 21],
  cancel: [60, 30],
  deliver: [60, 60],
  ack: [60, 80],
} as const;

export type Method = keyof typeof METHODS;

const [METHOD, HEADER, BODY, HEARTBEAT] = [1, 2, 3, 8];
const END = 0xce;
/** The tag of the consumer, whatever the client calls it. */
export const CONSUMER = 'consumer';

/** A method from a client. */
export interface ReceivedMethod {
  readonly method: Method;
  readonly channel: number;
  readonly args: Buffer;
}

export function octet(value: number): Buffer {
  return Buffer.of(value);
}

export function short(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function long(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function longLong(value: number): Buffer {
  return Buffer.concat([long(Math.floor(value / 2 ** 32)), long(value % 2 ** 32)]);
}

export function shortText(text: string): Buffer {
  return Buffer.concat([octet(Buffer.byteLength(text)), Buffer.from(text)]);
}

/** Reads `count` short texts from `offset` on. */
export function textsOf(args: Buffer, offset: number, count: number): readonly string[] {
  if (count === 0) return [];
  const end = offset + 1 + args.readUInt8(offset);
  return [args.toString('utf8', offset + 1, end), ...textsOf(args, end, count - 1)];
}

export function longText(text: string | Buffer): Buffer {
  return Buffer.concat([long(Buffer.byteLength(text)), Buffer.from(text)]);
}

export function frame(type: number, channel: number, payload: Buffer): Buffer {
  return Buffer.concat([octet(type), short(channel), longText(payload), octet(END)]);
}

export function method(name: Method, channel: number, ...args: readonly Buffer[]): Buffer {
  const [classId, methodId] = METHODS[name];
  return frame(METHOD, channel, Buffer.concat([short(classId), short(methodId), ...args]));
}

/** The frames of a message; its body may be shorter than `size` says. */
export function delivery(tag: number, body: Buffer, { size = body.length, consumer = CONSUMER } = {}): Buffer {
  const pieces: Buffer[] = [];
  for (let start = 0; start < body.length; start += 100_000) pieces.push(body.subarray(start, start + 100_000));
  return Buffer.concat([
    method('deliver', 1, shortText(consumer), longLong(tag), octet(0), shortText('amq.topic'), shortText('a.b')),
    frame(HEADER, 1, Buffer.concat([short(60), short(0), longLong(size), short(0)])),
    ...pieces.map((piece) => frame(BODY, 1, piece)),
  ]);
}

/** Closes the connection, or a channel, for this reason. */
export function closing(name: 'close' | 'channelClose', channel: number, code: number, text: string): Buffer {
  return method(name, channel, short(code), shortText(text), short(0), short(0));
}

/** A client's connection on the broker's side. */
export class AmqpPeer extends EventEmitter<{ method: [ReceivedMethod] }> {
  readonly socket: Socket;
  readonly methods: ReceivedMethod[] = [];
  heartbeats = 0;
  #rest: Buffer = Buffer.of();

  constructor(socket: Socket) {
    super();
    this.socket = socket;
    socket.on('error', () => undefined).on('data', (bytes: Buffer) => this.#read(bytes));
  }

  send(...bytes: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** Waits until the client has sent so many of a method, and returns the last one. */
  async received(name: Method, count = 1): Promise<ReceivedMethod> {
    for (;;) {
      const its = this.methods.filter((received) => received.method === name);
      const last = its[count - 1];
      if (last !== undefined) return last;
      await once(this, 'method');
    }
  }

  /** The tags of the messages that the client has acknowledged. */
  get acked(): readonly number[] {
    return this.methods.filter((received) => received.method === 'ack').map(({ args }) => args.readUInt32BE(4));
  }

  #read(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    // The header of the protocol.
    if (this.methods.length === 0 && this.#rest.subarray(0, 4).toString() === 'AMQP') {
      this.#rest = this.#rest.subarray(8);
      this.send(
        method('start', 0, octet(0), octet(9), longText(''), longText('PLAIN EXTERNAL AMQPLAIN'), longText('en_US')),
      );
    }
    while (this.#rest.length >= 7) {
      const end = 8 + this.#rest.readUInt32BE(3);
      if (this.#rest.length < end) return;
      const [type, channel] = [this.#rest.readUInt8(0), this.#rest.readUInt16BE(1)];
      const payload = this.#rest.subarray(7, end - 1);
      this.#rest = this.#rest.subarray(end);
      if (type === HEARTBEAT) this.heartbeats++;
      if (type === METHOD) this.#receive(channel, payload);
    }
  }

  #receive(channel: number, payload: Buffer): void {
    const [classId, methodId] = [payload.readUInt16BE(0), payload.readUInt16BE(2)];
    const name = (Object.keys(METHODS) as Method[]).find(
      (key) => METHODS[key][0] === classId && METHODS[key][1] === methodId,
    );
    if (name === undefined) throw new Error(`the client sent a method that is not known here: ${classId}.${methodId}`);
    const received = { method: name, channel, args: Buffer.from(payload.subarray(4)) };
    this.methods.push(received);
    this.emit('method', received);
  }
}

/** The answers of a broker. */
export type AmqpAnswer = (peer: AmqpPeer, received: ReceivedMethod) => void;

/** Accepts all clients, queues and bindings; no heart-beats by default. */
export function acceptingAmqp({ heartbeat = 0 } = {}): AmqpAnswer {
  const answers: Partial<Record<Method, readonly [Method, ...args: Buffer[]]>> = {
    startOk: ['tune', short(2047), long(131_072), short(heartbeat)],
    open: ['openOk', shortText('')],
    close: ['closeOk'],
    channelOpen: ['channelOpenOk', longText('')],
    channelClose: ['channelCloseOk'],
    declare: ['declareOk', shortText('queue'), long(0), long(0)],
    bind: ['bindOk'],
    qos: ['qosOk'],
    consume: ['consumeOk', shortText(CONSUMER)],
  };
  return (peer, received) => {
    const [name, ...args] = answers[received.method] ?? [];
    if (name !== undefined) peer.send(method(name, received.channel, ...args));
  };
}

export class AmqpServer implements AsyncDisposable {
  readonly #server;
  readonly #peers: AmqpPeer[] = [];
  readonly #arrivals = new EventEmitter<{ peer: [] }>();

  private constructor(answer: AmqpAnswer) {
    this.#server = createTcpServer((socket) => {
      const peer = new AmqpPeer(socket);
      peer.on('method', (received) => answer(peer, received));
      this.#peers.push(peer);
      this.#arrivals.emit('peer');
    });
  }

  static async start(answer: AmqpAnswer): Promise<AmqpServer> {
    const server = new AmqpServer(answer);
    await once(server.#server.listen(0, '127.0.0.1'), 'listening');
    return server;
  }

  /** The broker's URL with these credentials and this path. */
  url({ credentials = '', path = '' } = {}): string {
    return `amqp://${credentials}127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`;
  }

  /** Waits for the connection with this number. */
  async peer(position: number): Promise<AmqpPeer> {
    for (;;) {
      const peer = this.#peers[position];
      if (peer !== undefined) return peer;
      await once(this.#arrivals, 'peer');
    }
  }

  get connections(): number {
    return this.#peers.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.#peers) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
