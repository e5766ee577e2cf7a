/** Listens on the message bus for messages that trigger rebuilds, and reconnects when the connection is lost. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { LimitedLog } from '../../system/limited-log.ts';
import { messageOf } from '../../system/message-of.ts';
import { backoff, type BackoffLimits } from '../backoff.ts';
import { parseBusUrl, type BusAddress } from './bus-url.ts';
import { usesCertificate } from './amqp-client.ts';
import { AmqpConnection } from './amqp-connection.ts';
import {
  BusError,
  type BrokerConnection,
  type BusDestination,
  type BusMessage,
  type BusTls,
  type ConnectionOptions,
} from './broker-connection.ts';
import { parseMessage, type ParsedMessage } from './parse-message.ts';
import { StompConnection } from './stomp-connection.ts';

/** Defaults, in milliseconds. */
const HEARTBEAT = 10_000;
const CONNECT_TIMEOUT = 20_000;
const PAUSES: BackoffLimits = { first: 1_000, longest: 60_000 };

/** Settings of the bus. */
export interface BusOptions {
  /** URLs of brokers for {@link parseBusUrl}, tried in turn. */
  readonly urls: readonly string[];
  readonly destinations: readonly BusDestination[];
  /** The content types that trigger a rebuild; with `any`, all messages do. */
  readonly contentTypes: 'any' | readonly string[];
  /** With AMQP, the exchange that the queue is bound to. */
  readonly exchange: string;
  /** With AMQP, the name of the queue; a UUID that is kept by default. */
  readonly queue?: string;
  /** Returns the setting `key`; if there is none, it is `value` from now on. */
  readonly keepSetting: (key: string, value: string) => Promise<string>;
  /** With STOMP, headers for CONNECT, such as `client-id`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The interval of heart-beats in both directions, in milliseconds; 10 s by default, 0 for none. */
  readonly heartbeat?: number;
  /**
   * PEM files, read for each connection because certificates are renewed. Without `caFile`, the system's authorities
   * are trusted.
   */
  readonly caFile?: string;
  readonly clientCert?: string;
  readonly clientKey?: string;
  /** Requests a rebuild. If it throws, the error is logged and the message is not acknowledged. */
  readonly onTrigger: (reason: string) => void;
  /**
   * Whether the first connection triggers a rebuild; true by default. Not needed if a rebuild begins after it anyway.
   * Later connections always trigger one, because messages may have been missed.
   */
  readonly firstConnectionTriggers?: boolean;
  /** Counters to increment; new ones by default. */
  readonly counts?: BusCounts;
  readonly logger: Logger;
  /** Pauses between attempts to connect; from 1 s, doubling up to 1 min, by default. */
  readonly pauses?: BackoffLimits;
}

/** Counters of the bus. */
export interface BusCounts {
  /** Messages that triggered a rebuild, had another content type, or could not be parsed. */
  triggered: number;
  ignored: number;
  malformed: number;
  /** Connections after the first. */
  reconnects: number;
}

/** The state of the bus for `/status`. */
export interface BusStatus {
  readonly state: 'connecting' | 'connected' | 'closed';
  /** The URL of the current or last broker, without credentials. */
  readonly url: string | undefined;
  /** When `state` last changed, in milliseconds since the epoch. */
  readonly since: number;
  readonly destinations: readonly string[];
  readonly messages: Readonly<Omit<BusCounts, 'reconnects'>>;
  readonly reconnects: number;
  readonly lastError: { readonly message: string; readonly at: number } | undefined;
}

/** A connection to one of several brokers, made again whenever it is lost. */
export class Bus {
  readonly #options: BusOptions;
  readonly #addresses: readonly BusAddress[];
  readonly #log = new LimitedLog<'refused' | 'failed' | 'lost' | 'malformed' | 'trigger'>();
  readonly #closing = new AbortController();
  readonly #counts: BusCounts;
  #state: BusStatus['state'] = 'closed';
  #url: string | undefined;
  #since = Date.now();
  #wasConnected = false;
  #lastError: BusStatus['lastError'] = undefined;
  #stopped: Promise<void> = Promise.resolve();

  /** @throws TypeError for an invalid URL or header; its message holds no passcode. */
  constructor(options: BusOptions) {
    checkOptions(options);
    this.#options = options;
    this.#counts = options.counts ?? { triggered: 0, ignored: 0, malformed: 0, reconnects: 0 };
    this.#addresses = options.urls.map(parseBusUrl);
  }

  /** Starts connecting. Call it once. */
  start(): void {
    this.#stopped = this.#stayConnected();
  }

  /** Disconnects and stops reconnecting; resolves after two seconds at most. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#stopped;
    this.#become('closed');
  }

  /** The current state. */
  status(): BusStatus {
    const { reconnects, ...messages } = this.#counts;
    return {
      state: this.#state,
      url: this.#url,
      since: this.#since,
      destinations: this.#options.destinations.map(({ destination }) => destination),
      messages,
      reconnects,
      lastError: this.#lastError,
    };
  }

  /** Tries the brokers in turn; pauses after a connection was lost, or when none could be reached. */
  async #stayConnected(): Promise<void> {
    const { pauses = PAUSES } = this.#options;
    const { signal } = this.#closing;
    let failures = 0;
    let untried = this.#addresses.length;
    while (!signal.aborted) {
      for (const address of this.#addresses) {
        const connectedFor = await this.#connect(address);
        if (signal.aborted) return;
        untried--;
        if (connectedFor === undefined && untried > 0) continue;
        untried = this.#addresses.length;
        // Only a connection that lasted for a while resets the backoff.
        failures = connectedFor !== undefined && connectedFor >= pauses.longest ? 1 : failures + 1;
        await sleep(backoff(failures, pauses), undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /**
   * Connects, and waits until the connection is lost. Returns how long it lasted, in milliseconds; `undefined` if it
   * failed.
   */
  async #connect(address: BusAddress): Promise<number | undefined> {
    this.#url = address.url;
    this.#become('connecting');
    const { destinations, heartbeat = HEARTBEAT } = this.#options;
    let connection: BrokerConnection;
    try {
      connection = await this.#open({
        address,
        tls: address.tls ? await this.#readTls() : {},
        destinations,
        heartbeat,
        timeout: CONNECT_TIMEOUT,
        onMessage: (message) => this.#receive(message),
        signal: this.#closing.signal,
      });
    } catch (error) {
      this.#failed(address, error);
      return undefined;
    }
    const connectedAt = performance.now();
    this.#connected(address, connection);
    const reason = await connection.closed;
    this.#lost(address, reason);
    return performance.now() - connectedAt;
  }

  #open(options: ConnectionOptions): Promise<BrokerConnection> {
    const { headers = {}, exchange } = this.#options;
    return options.address.protocol === 'stomp'
      ? StompConnection.open({ ...options, headers })
      : AmqpConnection.open({ ...options, exchange, queue: () => this.#queueName() });
  }

  /** Another exchange, or other routing keys, have another queue, since none is unbound from those of before. */
  async #queueName(): Promise<string> {
    const { queue, exchange, destinations, keepSetting } = this.#options;
    const keys = destinations.map(({ destination }) => destination);
    return queue ?? keepSetting(`queue of ${[exchange, ...keys].join(' ')}`, randomUUID());
  }

  async #readTls(): Promise<BusTls> {
    const { caFile, clientCert, clientKey } = this.#options;
    return {
      ...(caFile !== undefined && { ca: await readFile(caFile, 'utf8') }),
      ...(clientCert !== undefined && { cert: await readFile(clientCert, 'utf8') }),
      ...(clientKey !== undefined && { key: await readFile(clientKey, 'utf8') }),
    };
  }

  #connected({ url }: BusAddress, { queue }: BrokerConnection): void {
    const { logger, firstConnectionTriggers = true } = this.#options;
    this.#become('connected');
    const again = this.#wasConnected;
    this.#wasConnected = true;
    if (again) this.#counts.reconnects++;
    logger.info({ url, destinations: this.status().destinations, queue }, `bus: connected to ${url}`);
    if (again || firstConnectionTriggers) this.#trigger('bus: connected, messages may have been missed');
  }

  #failed(address: BusAddress, error: unknown): void {
    if (this.#closing.signal.aborted) return;
    const { message } = this.#remember(error);
    const { url, virtualHost } = address;
    const { logger } = this.#options;
    if (error instanceof BusError && error.refused) {
      const [who, what] = this.#loginOf(address);
      this.#log.line('refused', (omitted) => {
        logger.error(
          { omitted },
          `bus: ${url} refuses the connection ${who} to the virtual host ${virtualHost}: ${message}. Check ${what}`,
        );
      });
    } else {
      this.#log.line('failed', (omitted) => {
        logger.warn({ omitted }, `bus: cannot connect to ${url}: ${message}. Retrying until it succeeds`);
      });
    }
  }

  /** Says as whom a connection logs in, and what may be wrong with that. */
  #loginOf(address: BusAddress): readonly [who: string, what: string] {
    if (usesCertificate(address, this.#options.clientCert !== undefined))
      return ['with the client certificate', 'bus.client_cert, and the virtual host in bus.url'];
    const { protocol, login } = address;
    const who = login === undefined ? (protocol === 'amqp' ? 'as guest' : 'without a login') : `as ${login}`;
    return [who, 'login, passcode and virtual host in bus.url'];
  }

  #lost({ url }: BusAddress, error: BusError): void {
    if (this.#closing.signal.aborted) return;
    const { message } = this.#remember(error);
    this.#log.line('lost', (omitted) => {
      this.#options.logger.warn({ omitted }, `bus: lost the connection to ${url}: ${message}. Reconnecting`);
    });
  }

  #receive({ destination, body, ack }: BusMessage): void {
    const { contentTypes, logger } = this.#options;
    let what = 'a message';
    if (contentTypes !== 'any') {
      const parsed: ParsedMessage = body === undefined ? { malformed: 'over 1 MiB' } : parseMessage(body);
      if ('malformed' in parsed) {
        this.#counts.malformed++;
        this.#log.line('malformed', (omitted) => {
          logger.warn(
            { destination, bytes: body?.length, omitted },
            `bus: ignored a malformed message on ${destination}: ${parsed.malformed}`,
          );
        });
        ack();
        return;
      }
      if (!contentTypes.includes(parsed.ctype)) {
        this.#counts.ignored++;
        ack();
        return;
      }
      what = parsed.ctype;
    }
    if (!this.#trigger(`bus: ${what} on ${destination}`)) return;
    this.#counts.triggered++;
    ack();
  }

  /** Requests a rebuild, and says whether it was queued. */
  #trigger(reason: string): boolean {
    try {
      this.#options.onTrigger(reason);
      return true;
    } catch (error) {
      this.#log.line('trigger', (omitted) => {
        this.#options.logger.error({ err: error, omitted }, 'bus: could not request a rebuild');
      });
      return false;
    }
  }

  #remember(error: unknown): { readonly message: string } {
    const message = messageOf(error);
    this.#lastError = { message, at: Date.now() };
    return { message };
  }

  #become(state: BusStatus['state']): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#since = Date.now();
  }
}

function checkOptions({ urls, headers = {}, destinations }: BusOptions): void {
  if (urls.length === 0) throw new TypeError('the bus needs at least one URL');
  for (const [name, value] of Object.entries(headers)) {
    // The headers of CONNECT are not escaped (STOMP 1.2, "Value Encoding").
    if (/[\r\n\0:]/.test(name) || /[\r\n\0]/.test(value))
      throw new TypeError(
        `the header ${JSON.stringify(name)} of the bus has a line break, a NUL or a colon in its name`,
      );
  }
  const ids = destinations.flatMap((destination) => destination.headers?.id ?? []);
  const twice = ids.find((id, position) => ids.indexOf(id) !== position);
  if (twice !== undefined) throw new TypeError(`two destinations of the bus have the id ${JSON.stringify(twice)}`);
}
