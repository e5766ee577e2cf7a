/** Limits slow readers: the unsent bytes of all clients together, and the time that each may stall. */
import type { ServerResponse } from 'node:http';
import { constants, type Http2ServerResponse } from 'node:http2';
import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { TooManyUnsent } from '../server-error.ts';
import { PacedBody } from '../http/paced-body.ts';

/** Unsent bytes of all clients together; a shared body counts once. */
const MAX_UNSENT = 256 * 1024 * 1024;
/** Extra bytes for small answers and errors; beyond those, connections are closed. */
const RESERVE = 16 * 1024 * 1024;
/** Bytes that an answer takes beside its body, and those that a streamed body takes. */
const ANSWER = 16 * 1024;
const STREAM = 256 * 1024;
/** Bodies up to so many bytes are written at once. */
const SMALL_BODY = 16 * 1024;
/** Least rate at which a client must read, in bytes per second. */
const LEAST_RATE = 4096;
/** A connection that reads so many times the least rate may divide it among its streams as it likes. */
const BUSY = 8;
/** How long a client may be slower, in milliseconds, and how often it is checked in that time. */
const PATIENCE = 30_000;
const CHECKS = 6;
/** Checks after which a stalled client is cut off while others are refused. */
const STALLED = 2;

/** Limits of {@link Readers}. */
export interface ReadersOptions {
  /** Unsent bytes of all clients; {@link MAX_UNSENT} unless given. */
  readonly maxUnsent?: number | undefined;
  /** How long a client may be slow, in milliseconds; {@link PATIENCE} unless given. */
  readonly patience?: number | undefined;
}

type Response = ServerResponse | Http2ServerResponse;

/** An answer that is being sent to one client. */
interface Reading {
  readonly response: Response;
  readonly connection: Connection;
  /** Bytes that the system has accepted. */
  taken: number;
  body: PacedBody | undefined;
  /** Bytes that it and its connection had taken at the last checks, while it was waiting without pause. */
  readonly checks: { readonly own: number; readonly connection: number }[];
}

/** A socket or an HTTP/2 session, which several answers share. */
interface Connection {
  /** Bytes of all its answers that the system has accepted. */
  taken: number;
  /** Called when it closes, since Node.js does not tell a response that waits for its turn. */
  readonly ends: Set<() => void>;
}

/** Limits the answers of all routes of `server`. */
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
  // Answers that are still being sent stay limited.
  server.addHook('onClose', async () => readers.close());
}

/** The answers that are being sent, and the memory that they take. */
export class Readers {
  readonly #maxUnsent: number;
  readonly #patience: number;
  readonly #readings = new Set<Reading>();
  readonly #connections = new WeakMap<object, Connection>();
  /** Number of answers that send each body. */
  readonly #bodies = new Map<Buffer, number>();
  readonly #byTag = new Map<string, Buffer>();
  #unsent = 0;
  /** Whether an answer was refused since the last check. */
  #refused = false;
  readonly #checking: NodeJS.Timeout;
  #closing = false;

  constructor({ maxUnsent = MAX_UNSENT, patience = PATIENCE }: ReadersOptions = {}) {
    this.#maxUnsent = maxUnsent;
    this.#patience = patience;
    this.#checking = setInterval(() => this.#check(), patience / CHECKS).unref();
  }

  /**
   * Says whether there is room for `body`, or for a streamed one if `undefined`. There always is if nothing else is
   * being sent.
   */
  admits(body: Buffer | undefined): boolean {
    const small = body !== undefined && body.length <= SMALL_BODY;
    const admitted =
      this.#readings.size === 0 || this.#unsent + this.#costOf(body) <= this.#maxUnsent + (small ? RESERVE : 0);
    this.#refused ||= !admitted;
    return admitted;
  }

  /**
   * Returns an equal body that is already being sent, if there is one, else `body`.
   * @param etag finds it
   */
  shared(body: Buffer, etag: unknown): Buffer {
    const other = typeof etag === 'string' ? this.#byTag.get(etag) : undefined;
    return other?.equals(body) === true ? other : body;
  }

  /** Counts `body` until it is sent. Returns what to send instead of it. */
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

  /** Sends `body` to a response whose head is written. */
  send(response: Response, body: Buffer): void {
    const paced = this.pace(response, body);
    if (Buffer.isBuffer(paced)) response.end(paced);
    else paced.pipe(response);
  }

  /** Stops the checks once all pending answers have ended. */
  close(): void {
    this.#closing = true;
    if (this.#readings.size === 0) clearInterval(this.#checking);
  }

  /** Cuts off clients that were too slow. */
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

/** Closes the connection or stream of an answer, sent or not. */
function cutOff(response: Response): void {
  if ('stream' in response) response.stream.close(constants.NGHTTP2_CANCEL);
  // Reset, or the system would keep up to some megabytes for minutes. Node.js cannot reset a TLS connection.
  else if (!('encrypted' in response.req.socket)) response.req.socket.resetAndDestroy();
  response.destroy();
}

function isClosed(response: Response): boolean {
  return (
    response.destroyed || ('stream' in response ? response.stream.session === undefined : response.req.socket.destroyed)
  );
}

/** Says whether a response waits for its turn on an HTTP/1.1 connection. */
function isQueued(response: Response): boolean {
  return !('stream' in response) && response.socket === null;
}
