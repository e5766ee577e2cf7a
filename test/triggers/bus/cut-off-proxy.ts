/** A connection between a client and a broker that a test cuts off. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export class CutOffProxy implements AsyncDisposable {
  readonly #server = createServer((client) => this.#pass(client));
  readonly #sockets = new Set<Socket>();
  readonly #silent = new WeakSet<Socket>();
  readonly #target: number;

  private constructor(target: number) {
    this.#target = target;
  }

  /** @param target a port of 127.0.0.1 */
  static async start(target: number): Promise<CutOffProxy> {
    const proxy = new CutOffProxy(target);
    await once(proxy.#server.listen(0, '127.0.0.1'), 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Passes on nothing more of the connections that there are, not even that one side closes them. */
  silence(): void {
    for (const socket of this.#sockets) this.#silent.add(socket.pause());
  }

  /** Closes the connections that there are. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #pass(client: Socket): void {
    const broker = connect(this.#target, '127.0.0.1');
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      this.#sockets.add(one);
      one.on('data', (bytes: Buffer) => other.write(bytes));
      one.on('error', () => undefined);
      one.on('close', () => {
        this.#sockets.delete(one);
        if (!this.#silent.has(one)) other.destroy();
      });
    }
  }
}
