/**
 * Sends requests through a forward proxy: http in absolute form (RFC 9112, section 3.2.2), https through CONNECT
 * tunnels.
 */
import type { Socket } from 'node:net';
import { Agent, type buildConnector, type Dispatcher, Pool } from 'undici';
import { messageOf } from '../../../system/message-of.ts';
import { asConnector, type Connect } from './connector.ts';

/** A request for undici, with its headers as a list of names and values. */
export interface DispatchedRequest extends Dispatcher.DispatchOptions {
  readonly origin: string;
  readonly headers: string[];
}

/** Settings of {@link ProxyDispatcher}. */
export interface ProxyDispatcherOptions {
  /** The proxy's URL. It may hold a login, which is sent to the proxy alone. */
  readonly proxy: URL;
  /** Opens connections to the proxy, and TLS inside its tunnels. */
  readonly connect: Connect;
  /** The most connections to the proxy, and through it to one host; null for no limit. */
  readonly concurrency: number | null;
  /** The time to open a tunnel, in milliseconds. */
  readonly timeout: number;
}

/** Dispatches requests through one proxy. */
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
    // undici passes the request's host as `servername`, but an https proxy has a certificate for its own name.
    const connectToProxy = asConnector(({ servername: _host, ...target }) => connect(target));
    this.#proxy = new Pool(proxy.origin, { ...limits, connect: connectToProxy, headersTimeout: timeout });
    this.#tunnels = new Agent({
      ...limits,
      connect: asConnector((target) => this.#connectThrough(target)),
      headersTimeout: 0,
    });
  }

  /** Sends a request as undici's `dispatch` does. */
  dispatch(request: DispatchedRequest, handler: Dispatcher.DispatchHandler): void {
    const { origin, path, headers } = request;
    if (origin.startsWith('https:')) this.#tunnels.dispatch(request, handler);
    else
      this.#proxy.dispatch(
        { ...request, path: origin + path, headers: [...headers, 'host', new URL(origin).host, ...this.#login] },
        handler,
      );
  }

  /** Closes all connections; pending requests fail. */
  async destroy(): Promise<void> {
    await Promise.all([this.#tunnels.destroy(), this.#proxy.destroy()]);
  }

  async #connectThrough(target: buildConnector.Options): Promise<Socket> {
    const host = target.host ?? target.hostname;
    return this.#connect({ ...target, httpSocket: await this.#tunnel(target.port === '' ? `${host}:443` : host) });
  }

  /** @throws Error without a `code`, by which undici would take the tunnel for a lost connection and try again. */
  async #tunnel(place: string): Promise<Socket> {
    let answer: Dispatcher.ConnectData;
    try {
      answer = await this.#proxy.connect({ path: place, headers: ['host', place, ...this.#login] });
    } catch (cause) {
      throw new Error(`the proxy ${this.#name} did not open a tunnel to ${place}: ${messageOf(cause)}`, { cause });
    }
    const { statusCode, socket } = answer;
    if (statusCode >= 200 && statusCode < 300) return socket as Socket;
    socket.destroy();
    throw new Error(`the proxy ${this.#name} answered ${statusCode} to CONNECT ${place}`);
  }
}

/** The header for the login in a proxy's URL; text that is not valid percent-encoding is used unchanged. */
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
