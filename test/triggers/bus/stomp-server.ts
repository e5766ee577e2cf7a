/** A broker whose behaviour the test defines. */
import { EventEmitter, once } from 'node:events';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';

/** A frame from a client. */
export interface ReceivedFrame {
  readonly command: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A client's connection on the broker's side. */
export class StompPeer extends EventEmitter<{ frame: [ReceivedFrame] }> {
  readonly socket: Socket;
  readonly frames: ReceivedFrame[] = [];
  /** Line feeds between frames. */
  heartbeats = 0;
  #text = '';

  constructor(socket: Socket) {
    super();
    this.socket = socket;
    socket
      .setEncoding('utf8')
      .on('error', () => undefined)
      .on('data', (text: string) => this.#read(text));
  }

  send(command: string, headers: Readonly<Record<string, string | number>>, body: string | Buffer = ''): void {
    const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
    this.socket.write(
      Buffer.concat([Buffer.from(`${command}\n${lines.join('')}\n`), Buffer.from(body), Buffer.from('\0')]),
    );
  }

  /** Sends a message to the first subscription; its `ack` header is `id`. */
  message(id: string, body: string | Buffer, headers: Readonly<Record<string, string>> = {}): void {
    const subscription = this.frames.find(({ command }) => command === 'SUBSCRIBE')?.headers.id ?? '';
    const length = Buffer.byteLength(body);
    this.send(
      'MESSAGE',
      { subscription, 'message-id': id, ack: id, destination: '/topic/x', 'content-length': length, ...headers },
      body,
    );
  }

  /** Waits until the client has acknowledged the message `id`. */
  async acked(id: string): Promise<void> {
    while (!this.frames.some(({ command, headers }) => command === 'ACK' && headers.id === id))
      await once(this, 'frame');
  }

  #read(text: string): void {
    this.#text += text;
    for (;;) {
      const beats = /^\n*/.exec(this.#text)?.[0].length ?? 0;
      const end = this.#text.indexOf('\0', beats);
      this.heartbeats += beats;
      if (end < 0) {
        this.#text = this.#text.slice(beats);
        return;
      }
      const [head = ''] = this.#text.slice(beats, end).split('\n\n');
      this.#text = this.#text.slice(end + 1);
      const [command = '', ...lines] = head.split('\n');
      const headers = Object.fromEntries(
        lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
      );
      const frame = { command, headers };
      this.frames.push(frame);
      this.emit('frame', frame);
    }
  }
}

/** The answers of a broker. */
export type Answer = (peer: StompPeer, frame: ReceivedFrame) => void;

/** Accepts all clients, and sends all receipts; no heart-beats by default. */
export function accepting(heartbeat = '0,0'): Answer {
  return (peer, { command, headers }) => {
    if (command === 'CONNECT') peer.send('CONNECTED', { version: '1.2', 'heart-beat': heartbeat });
    if (headers.receipt !== undefined) peer.send('RECEIPT', { 'receipt-id': headers.receipt });
  };
}

export class StompServer implements AsyncDisposable {
  readonly #server;
  readonly #peers: StompPeer[] = [];
  readonly #arrivals = new EventEmitter<{ peer: [] }>();
  readonly #scheme: string;

  private constructor(answer: Answer, tls?: TlsOptions) {
    const onSocket = (socket: Socket): void => {
      const peer = new StompPeer(socket);
      peer.on('frame', (frame) => answer(peer, frame));
      this.#peers.push(peer);
      this.#arrivals.emit('peer');
    };
    this.#scheme = tls === undefined ? 'stomp' : 'stomps';
    this.#server = tls === undefined ? createTcpServer(onSocket) : createTlsServer(tls, onSocket);
  }

  static async start(answer: Answer, tls?: TlsOptions): Promise<StompServer> {
    const server = new StompServer(answer, tls);
    await once(server.#server.listen(0, '127.0.0.1'), 'listening');
    return server;
  }

  /** The broker's URL with this host, these credentials and this path. */
  url({ credentials = '', host = '127.0.0.1', path = '' } = {}): string {
    return `${this.#scheme}://${credentials}${host}:${(this.#server.address() as AddressInfo).port}${path}`;
  }

  /** Waits for the connection with this number. */
  async peer(position: number): Promise<StompPeer> {
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
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }
}
