/** Sends requests through a forward proxy: those with http as they are (RFC 9112, section 3.2.2), those with https through tunnels. */
import type { Socket } from 'node:net';
import { Agent, type buildConnector, type Dispatcher, Pool } from 'undici';
import { messageOf } from '../../../system/message-of.ts';
import { asConnector, type Connect } from './connector.ts';

/** A request as undici takes it, with its headers as a list of names and values. */
export interface DispatchedRequest extends Dispatcher.DispatchOptions {
  readonly origin: string;
  readonly headers: string[];
}

export interface ProxyDispatcherOptions {
  /** May hold a login, which only the proxy is shown. */
  readonly proxy: URL;
  /** Opens connections to the proxy, and TLS inside its tunnels. */
  readonly connect: Connect;
  /** Connections at once, at most: to the proxy, and through it to one host; null for as many as there are requests. */
  readonly concurrency: number | null;
  /** For the proxy to make a tunnel, in milliseconds. */
  readonly timeout: number;
}

export class ProxyDispatcher {
  readonly #name: string;
  readonly #login: readonly string[];
  readonly #connect: Connect;
  readonly #proxy: Pool;
  readonly #tunnels: Agent;

  constructor({ proxy, connect, concurrency, timeout }: ProxyDispatcherOptions) {
    this.#name = proxy.origin;
    this.#login = proxy.username === '' && proxy.password === '' ? [] : ['proxy-authorization', authorizationOf(proxy)];
    this.#connect = connect;
    const limits = { connections: concurrency, bodyTimeout: 0, allowH2: false };
    // undici takes the name that a proxy with https has to prove for that of the request's host.
    const connectToProxy = asConnector(({ servername: _host, ...target }) => connect(target));
    this.#proxy = new Pool(proxy.origin, { ...limits, connect: connectToProxy, headersTimeout: timeout });
    this.#tunnels = new Agent({ ...limits, connect: asConnector((target) => this.#connectThrough(target)), headersTimeout: 0 });
  }

  dispatch(request: DispatchedRequest, handler: Dispatcher.DispatchHandler): void {
    const { origin, path, headers } = request;
    if (origin.startsWith('https:')) this.#tunnels.dispatch(request, handler);
    else this.#proxy.dispatch({ ...request, path: origin + path, headers: [...headers, 'host', new URL(origin).host, ...this.#login] }, handler);
  }

  /** Ends all connections; requests under way fail. */
  async destroy(): Promise<void> {
    await Promise.all([this.#tunnels.destroy(), this.#proxy.destroy()]);
  }

  async #connectThrough(target: buildConnector.Options): Promise<Socket> {
    const host = target.host ?? target.hostname;
    return this.#connect({ ...target, httpSocket: await this.#tunnel(target.port === '' ? `${host}:443` : host) });
  }

  /** @throws Error without a code: by those of its own undici would take the tunnel for a connection that was lost, and wait for another. */
  async #tunnel(place: string): Promise<Socket> {
    let answer: Dispatcher.ConnectData;
    try {
      answer = await this.#proxy.connect({ path: place, headers: ['host', place, ...this.#login] });
    } catch (cause) {
      throw new Error(`the proxy ${this.#name} made no tunnel to ${place}: ${messageOf(cause)}`, { cause });
    }
    const { statusCode, socket } = answer;
    if (statusCode >= 200 && statusCode < 300) return socket as Socket;
    socket.destroy();
    throw new Error(`the proxy ${this.#name} answered ${statusCode} to CONNECT ${place}`);
  }
}

/** A login in a URL is in percent-encoding; what is not is taken as it is. */
function authorizationOf({ username, password }: URL): string {
  const [name, secret] = [username, password].map((text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  });
  return `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`;
}
