/** Raw requests on a socket, which HTTP clients would not send. */
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly statusCode: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A connection for sequential requests. */
export class RawConnection implements Disposable {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    // A reset ends it too.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  static open(port: number): RawConnection {
    return new RawConnection(connect(port, '127.0.0.1'));
  }

  /** Sends a request: lines of the head, an empty line, and the body. */
  send(text: string): void {
    this.socket.write(text.replaceAll('\n', '\r\n'));
  }

  /** Reads the next answer; `hasBody` is false after a HEAD. */
  async answer(hasBody = true): Promise<RawAnswer> {
    const end = await this.#until(() => {
      const at = this.#received.indexOf('\r\n\r\n');
      return at === -1 ? undefined : at;
    });
    const [status = '', ...lines] = this.#take(end + 4)
      .toString('latin1')
      .split('\r\n');
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const statusCode = Number(status.split(' ')[1]);
    if (headers['transfer-encoding'] !== undefined) throw new Error('a body in chunks is not read here');
    const length = hasBody && statusCode !== 304 ? Number(headers['content-length'] ?? 0) : 0;
    await this.#until(() => (this.#received.length >= length ? true : undefined));
    return { statusCode, headers, body: this.#take(length) };
  }

  /** Resolves when the server has closed the connection, with the bytes before that. */
  async closed(): Promise<Buffer> {
    while (!this.#ended) await this.#woken();
    return this.#received;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  async #until<T>(ready: () => T | undefined): Promise<T> {
    for (;;) {
      const value = ready();
      if (value !== undefined) return value;
      if (this.#ended)
        throw new Error(
          `the connection was closed after ${JSON.stringify(this.#received.toString('latin1').slice(0, 500))}`,
        );
      await this.#woken();
    }
  }

  #woken(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    return promise;
  }

  #take(length: number): Buffer {
    const taken = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return taken;
  }
}
