/** Bounds what clients that do not take their answers may hold: the bytes of all of them together, and the time of each. */
import type { ServerResponse } from 'node:http';
import { constants, type Http2ServerResponse } from 'node:http2';
import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { TooManyUnsent } from '../server-error.ts';
import { PacedBody } from './paced-body.ts';

/** Bytes that wait to be sent to all clients together; a body that several are sent counts once. */
const MAX_UNSENT = 256 * 1024 * 1024;
/** Beyond that, for small answers and errors; who asks on is cut off. */
const RESERVE = 16 * 1024 * 1024;
/** What an answer takes beside its body, and what one takes whose body is read while it is sent. */
const ANSWER = 16 * 1024;
const STREAM = 256 * 1024;
/** Bodies up to so many bytes are written at once. */
const SMALL_BODY = 16 * 1024;
/** Bytes a second that a client takes at least. */
const LEAST_RATE = 4096;
/** A connection that takes so many times as much may share that among its streams as it likes. */
const BUSY = 8;
/** How long a client may be slower, in milliseconds, and how often that is looked at meanwhile. */
const PATIENCE = 30_000;
const CHECKS = 6;
/** Whoever has taken nothing for so many checks makes room where others were refused. */
const STALLED = 2;

export interface ReadersOptions {
  /** {@link MAX_UNSENT} unless given. */
  readonly maxUnsent?: number | undefined;
  /** {@link PATIENCE} unless given. */
  readonly patience?: number | undefined;
}

type Response = ServerResponse | Http2ServerResponse;

/** An answer that is being sent to one client. */
interface Reading {
  readonly response: Response;
  readonly connection: Connection;
  /** Bytes that the system has taken. */
  taken: number;
  body: PacedBody | undefined;
  /** What it and its connection had taken at the last checks, while it was waiting all the time. */
  readonly checks: { readonly own: number; readonly connection: number }[];
}

/** What answers share: a socket, or a session of HTTP/2. */
interface Connection {
  /** Bytes that the system has taken, of all its answers. */
  taken: number;
  /** Called when it is closed: an answer that waits for its turn is not told. */
  readonly ends: Set<() => void>;
}

/** Watches all answers of `app`. */
export function limitReaders(server: FastifyInstance, readers: Readers): void {
  server.addHook('onSend', (request, reply, payload: unknown, done) => {
    if (request.method === 'HEAD' || payload === undefined || payload === null) {
      done(null, payload);
      return;
    }
    if (payload instanceof Readable) {
      if (readers.admits(undefined)) done(null, readers.pace(reply.raw, payload));
      else {
        payload.destroy();
        done(new TooManyUnsent());
      }
      return;
    }
    if (typeof payload !== 'string' && !Buffer.isBuffer(payload)) {
      done(null, payload);
      return;
    }
    const body = readers.shared(typeof payload === 'string' ? Buffer.from(payload) : payload, reply.getHeader('etag'));
    const isError = reply.statusCode >= 400;
    if (!readers.admits(body)) {
      if (!isError) done(new TooManyUnsent());
      else {
        cutOff(reply.raw);
        done(null, payload);
      }
      return;
    }
    if (body.length > SMALL_BODY && !reply.hasHeader('content-length')) reply.header('content-length', body.length);
    done(null, readers.pace(reply.raw, body, reply.getHeader('etag')));
  });
  // What is under way when the next app answers is watched on.
  server.addHook('onClose', async () => readers.close());
}

export class Readers {
  readonly #maxUnsent: number;
  readonly #patience: number;
  readonly #readings = new Set<Reading>();
  readonly #connections = new WeakMap<object, Connection>();
  /** How many are sent each body. */
  readonly #bodies = new Map<Buffer, number>();
  readonly #byTag = new Map<string, Buffer>();
  #unsent = 0;
  /** Since the last check. */
  #refused = false;
  readonly #checking: NodeJS.Timeout;
  #closing = false;

  constructor({ maxUnsent = MAX_UNSENT, patience = PATIENCE }: ReadersOptions = {}) {
    this.#maxUnsent = maxUnsent;
    this.#patience = patience;
    this.#checking = setInterval(() => this.#check(), patience / CHECKS).unref();
  }

  /** Says whether there is room to send `body`, or one that is read while it is sent. There always is if nothing else is sent. */
  admits(body: Buffer | undefined): boolean {
    const small = body !== undefined && body.length <= SMALL_BODY;
    const admitted = this.#readings.size === 0 || this.#unsent + this.#costOf(body) <= this.#maxUnsent + (small ? RESERVE : 0);
    this.#refused ||= !admitted;
    return admitted;
  }

  /** The body that others are being sent, if that is the same. @param etag finds it */
  shared(body: Buffer, etag: unknown): Buffer {
    const other = typeof etag === 'string' ? this.#byTag.get(etag) : undefined;
    return other?.equals(body) === true ? other : body;
  }

  /** What to send to `response` in the place of `body`, which is counted until it is sent. */
  pace(response: Response, body: Buffer | Readable, etag?: unknown): Buffer | PacedBody {
    const reading = this.watch(response, body, etag);
    if (Buffer.isBuffer(body) && body.length <= SMALL_BODY) return body;
    reading.body = new PacedBody(body, (bytes) => {
      reading.taken += bytes;
      reading.connection.taken += bytes;
    });
    return reading.body;
  }

  /** Counts `body` until it is sent to `response`. */
  watch(response: Response, body: Buffer | Readable | undefined, etag?: unknown): Reading {
    const held = Buffer.isBuffer(body) ? body : undefined;
    const cost = ANSWER + (body instanceof Readable ? STREAM : 0);
    const connection = isClosed(response) ? { taken: 0, ends: new Set<() => void>() } : this.#connectionOf(response);
    const reading: Reading = { response, connection, taken: 0, body: undefined, checks: [] };
    if (isClosed(response)) return reading;
    this.#readings.add(reading);
    this.#unsent += cost;
    if (held !== undefined) this.#hold(held, etag);
    const ended = (): void => {
      if (!this.#readings.delete(reading)) return;
      connection.ends.delete(ended);
      this.#unsent -= cost;
      if (held !== undefined) this.#release(held, etag);
      if (this.#closing) this.close();
    };
    connection.ends.add(ended);
    response.once('finish', ended);
    response.once('close', ended);
    return reading;
  }

  /** Sends `body` to `response`, whose head is written. */
  send(response: Response, body: Buffer): void {
    const paced = this.pace(response, body);
    if (Buffer.isBuffer(paced)) response.end(paced);
    else paced.pipe(response);
  }

  /** Watches nothing any more once all that is under way has ended. */
  close(): void {
    this.#closing = true;
    if (this.#readings.size === 0) clearInterval(this.#checking);
  }

  /** Cuts off those that were too slow. */
  #check(): void {
    const least = (LEAST_RATE * this.#patience) / 1000;
    const scarce = this.#refused;
    this.#refused = false;
    for (const { response, connection, taken, body, checks } of this.#readings) {
      if (!(body === undefined ? response.writableLength > 0 : body.waiting) || isQueued(response)) {
        checks.length = 0;
        continue;
      }
      checks.push({ own: taken, connection: connection.taken });
      if (scarce && checks.at(-1 - STALLED)?.own === taken) cutOff(response);
      if (checks.length <= CHECKS) continue;
      const before = checks.shift() ?? { own: 0, connection: 0 };
      const own = taken - before.own;
      if (own < least && !(own > 0 && connection.taken - before.connection >= BUSY * least)) cutOff(response);
    }
  }

  #costOf(body: Buffer | undefined): number {
    if (body === undefined) return ANSWER + STREAM;
    return ANSWER + (this.#bodies.has(body) ? 0 : body.length);
  }

  #hold(body: Buffer, etag: unknown): void {
    const readers = this.#bodies.get(body) ?? 0;
    this.#bodies.set(body, readers + 1);
    if (readers > 0) return;
    this.#unsent += body.length;
    if (typeof etag === 'string') this.#byTag.set(etag, body);
  }

  #release(body: Buffer, etag: unknown): void {
    const readers = (this.#bodies.get(body) ?? 0) - 1;
    if (readers > 0) {
      this.#bodies.set(body, readers);
      return;
    }
    this.#bodies.delete(body);
    this.#unsent -= body.length;
    if (typeof etag === 'string' && this.#byTag.get(etag) === body) this.#byTag.delete(etag);
  }

  #connectionOf(response: Response): Connection {
    const its = ('stream' in response ? response.stream.session : undefined) ?? response.req.socket;
    const known = this.#connections.get(its);
    if (known !== undefined) return known;
    const connection: Connection = { taken: 0, ends: new Set() };
    this.#connections.set(its, connection);
    its.once('close', () => {
      for (const end of connection.ends) end();
    });
    return connection;
  }
}

/** Ends an answer, whatever has not been taken. */
function cutOff(response: Response): void {
  if ('stream' in response) response.stream.close(constants.NGHTTP2_CANCEL);
  // Otherwise the system goes on offering what it holds, up to some megabytes, for minutes. Node.js resets no TLS connection.
  else if (!('encrypted' in response.req.socket)) response.req.socket.resetAndDestroy();
  response.destroy();
}

function isClosed(response: Response): boolean {
  return response.destroyed || ('stream' in response ? response.stream.session === undefined : response.req.socket.destroyed);
}

/** Says whether it waits for the answer before it on a connection of HTTP/1.1. */
function isQueued(response: Response): boolean {
  return !('stream' in response) && response.socket === null;
}
