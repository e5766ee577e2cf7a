/**
 * A registry that misbehaves: it stands in front of a real one, and spoils the answers to some requests, the same ones
 * for the same seed.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool, type Dispatcher } from 'undici';
import { FAULTS, LOOPING, type RequestKind, type RightAnswer } from './faults.ts';
import { randomNumbers } from './random-images.ts';

export interface FaultPlan {
  readonly seed: number;
  /** Which part of all requests is spoilt, from 0 to 1. */
  readonly rate: number;
  /** Names of {@link FAULTS} to choose from; all of them if absent. */
  readonly faults?: readonly string[];
}

export interface PlayedFault {
  /** A name of {@link FAULTS}. */
  readonly fault: string;
  /** `METHOD PATH`. */
  readonly request: string;
}

export class FaultProxy implements AsyncDisposable {
  readonly url: string;
  readonly #server: ReturnType<typeof createServer>;
  readonly #registry: Pool;
  /** By what was asked for. */
  readonly #answers = new Map<string, Promise<RightAnswer>>();
  readonly #asked = new Map<string, number>();
  #plan: FaultPlan | undefined;
  #played: PlayedFault[] = [];

  private constructor(server: ReturnType<typeof createServer>, registry: string) {
    this.#server = server;
    this.#registry = new Pool(registry, { connections: 16 });
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      response.on('error', () => response.destroy());
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  /** @param registry a URL without a last `/` */
  static async start(registry: string): Promise<FaultProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FaultProxy(server, registry);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
    await this.#registry.destroy();
  }

  /** What was played since {@link play} was last called. */
  get played(): readonly PlayedFault[] {
    return this.#played;
  }

  /** Spoils answers from now on. */
  play(plan: FaultPlan): void {
    this.#plan = plan;
    this.#asked.clear();
    this.#played = [];
  }

  /** Spoils nothing any more. */
  heal(): void {
    this.#plan = undefined;
  }

  /** Asks the registry anew for all that concerns a repository; what nobody has changed it is asked only once. */
  forget(repository: string): void {
    for (const asked of this.#answers.keys()) if (asked.includes(`/v2/${repository}/`)) this.#answers.delete(asked);
  }

  async #answer(
    { method = 'GET', url: path = '/', headers }: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const kind = kindOf(method, path);
    const name = kind && this.#chosen(kind, method, path);
    const right = await this.#right(method, path.replace(LOOPING, ''), headers.accept ?? '*/*');
    // A 404 stays what it is, so that faults cannot be taken for it and it cannot for faults.
    if (name === undefined || (right.status === 404 && kind !== 'catalog')) {
      response.writeHead(right.status, right.headers).end(right.body);
      return;
    }
    this.#played.push({ fault: name, request: `${method} ${path}` });
    FAULTS[name]?.play(response, right, path);
  }

  /** The fault to play; it depends only on the plan, on what is asked for, and on how often that was asked for. */
  #chosen(kind: RequestKind, method: string, path: string): string | undefined {
    if (this.#plan === undefined) return undefined;
    const { seed, rate, faults = Object.keys(FAULTS) } = this.#plan;
    const asked = `${method} ${path}`;
    const times = (this.#asked.get(asked) ?? 0) + 1;
    this.#asked.set(asked, times);
    const random = randomNumbers(createHash('sha256').update(`${seed} ${asked}`).digest().readUInt32LE());
    if (random() >= rate) return undefined;
    // Half of all faults pass: the next attempt is answered as it should be.
    if (random() < 0.5 && times > 1) return undefined;
    const fitting = faults.filter((name) => FAULTS[name]?.kinds.includes(kind));
    return fitting[Math.floor(random() * fitting.length)];
  }

  #right(method: Dispatcher.HttpMethod, path: string, accept: string): Promise<RightAnswer> {
    const asked = `${method} ${path} ${accept}`;
    let answer = this.#answers.get(asked);
    if (answer === undefined) {
      answer = this.#ask(method, path, accept);
      this.#answers.set(asked, answer);
    }
    return answer;
  }

  async #ask(method: Dispatcher.HttpMethod, path: string, accept: string): Promise<RightAnswer> {
    const { statusCode, headers, body } = await this.#registry.request({ method, path, headers: { accept } });
    const { connection: _connection, 'keep-alive': _keepAlive, ...kept } = headers;
    return {
      status: statusCode,
      headers: Object.fromEntries(Object.entries(kept).map(([name, value]) => [name, String(value)])),
      body: Buffer.from(await body.arrayBuffer()),
    };
  }
}

/** `undefined` for what no fault is known for. */
function kindOf(method: string, path: string): RequestKind | undefined {
  if (path.includes('/_catalog')) return 'catalog';
  if (path.includes('/tags/list')) return 'list';
  if (path.includes('/manifests/')) return method === 'HEAD' ? 'manifest head' : 'manifest';
  return path.includes('/blobs/') ? 'blob' : undefined;
}
