/** A proxy in front of PostgreSQL that hangs, or cuts connections, when a test says so. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** `before` the database gets a statement, or `after` it has run it, so that its answer is lost. */
export type CutMoment = 'before' | 'after';

/** Passes bytes on until it is told to hang or to cut. */
export class FaultyProxy {
  /** The statements that passed, and the bytes of their answers. */
  statements = 0;
  bytes = 0;
  readonly #to: number;
  readonly #server = createServer((socket) => this.#accept(socket));
  readonly #sockets = new Set<Socket>();
  #cut: { readonly statement: number; readonly moment: CutMoment } | undefined;
  #isCut = false;
  #hangs = false;

  private constructor(to: number) {
    this.#to = to;
  }

  /** @param to port of the database */
  static async start(t: TestContext, to: number | undefined): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(to ?? 0);
    await once(proxy.#server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => {
      proxy.#end();
      proxy.#server.close();
    });
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** Whether it cut all connections; it takes no others. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Passes nothing on any more, and closes nothing. New connections are affected only if `all` are. */
  hang({ all = false } = {}): void {
    this.#hangs = all;
    for (const socket of this.#sockets) socket.removeAllListeners('data').pause();
  }

  /** Passes on what new connections send. */
  release(): void {
    this.#hangs = false;
  }

  /** Cuts all connections at a statement, counted from 1. */
  cutAt(statement: number, moment: CutMoment): void {
    this.#cut = { statement, moment };
  }

  #accept(client: Socket): void {
    if (this.#isCut) {
      client.destroy();
      return;
    }
    if (this.#hangs) {
      this.#sockets.add(client.pause());
      client.on('error', () => undefined);
      return;
    }
    const server = connect(this.#to, '127.0.0.1');
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.end();
      });
    }
    const count = statementCounter();
    let answerIsLost = false;
    client.on('data', (chunk) => {
      this.statements += count(chunk);
      if (this.#cut !== undefined && this.statements >= this.#cut.statement) {
        if (this.#cut.moment === 'before') {
          this.#end();
          return;
        }
        answerIsLost = true;
      }
      server.write(chunk);
    });
    server.on('data', (chunk) => {
      this.bytes += chunk.length;
      if (answerIsLost) this.#end();
      else client.write(chunk);
    });
  }

  #end(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Counts the statements that end in what a client sends: a Query, or the Sync behind the messages of a prepared one. */
function statementCounter(): (chunk: Buffer) => number {
  let rest: Buffer = Buffer.alloc(0);
  // The first message has no type.
  let type = 0;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    let ended = 0;
    while (rest.length >= type + 4 && rest.length >= type + rest.readInt32BE(type)) {
      if (type === 1 && 'QS'.includes(String.fromCharCode(rest[0] ?? 0))) ended++;
      rest = rest.subarray(type + rest.readInt32BE(type));
      type = 1;
    }
    return ended;
  };
}
