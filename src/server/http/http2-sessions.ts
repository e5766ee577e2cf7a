/** Limits HTTP/2 sessions and streams in time and number; for HTTP/1.1, Node.js does. */
import { constants, Http2ServerRequest, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { FastifyInstance } from 'fastify';

/** Concurrent streams of one connection. */
const MAX_STREAMS = 100;
/** Streams that are not known to be closed; a client exceeds it by resetting streams in bulk. */
const MAX_OPENED = 3 * MAX_STREAMS;
/** Stream resets of one connection: in a burst, and per second (CVE-2023-44487). */
const RESET_BURST = 400;
const RESET_RATE = 20;

/** Limits that Node.js enforces. */
export const HTTP2_LIMITS = {
  settings: { maxConcurrentStreams: MAX_STREAMS },
  streamResetBurst: RESET_BURST,
  streamResetRate: RESET_RATE,
} as const;

/** Timeouts of {@link Http2Sessions}. */
export interface Http2SessionsOptions {
  /** Time to send a request, in milliseconds. */
  readonly patience: number;
  /** Idle timeout of a session, in milliseconds. */
  readonly keptAlive: number;
}

interface Session {
  streams: number;
  /** When its last stream ended, as `performance.now()` has it. */
  idleSince: number;
}

/** The open sessions of a server. */
export class Http2Sessions {
  readonly #options: Http2SessionsOptions;
  readonly #sessions = new Map<ServerHttp2Session, Session>();
  /** Streams whose request is incomplete, and when they began. */
  readonly #requests = new Map<ServerHttp2Stream, number>();

  constructor(options: Http2SessionsOptions) {
    this.#options = options;
  }

  /** Watches a session until it closes. */
  watch(session: ServerHttp2Session): void {
    const state: Session = { streams: 0, idleSince: performance.now() };
    this.#sessions.set(session, state);
    session.once('close', () => this.#sessions.delete(session));
    // A session may be silent while an answer is made, or busy without a request: `check` decides.
    session.setTimeout(0);
    session.on('stream', (stream) => {
      state.streams++;
      // Streams that are reset at once do not count as concurrent.
      if (state.streams > MAX_OPENED) session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
      if (!stream.endAfterHeaders) this.#requests.set(stream, performance.now());
      stream.once('close', () => {
        this.#requests.delete(stream);
        state.streams--;
        state.idleSince = performance.now();
      });
    });
  }

  /**
   * Closes sessions and streams that timed out. Call it regularly.
   * @param now as `performance.now()` has it
   */
  check(now: number): void {
    const { patience, keptAlive } = this.#options;
    for (const [stream, began] of this.#requests) {
      if (stream.state.state !== constants.NGHTTP2_STREAM_STATE_OPEN) this.#requests.delete(stream);
      else if (now - began > patience) refuse(stream);
    }
    for (const [session, { streams, idleSince }] of this.#sessions) {
      if (streams > 0 || now - idleSince <= keptAlive) continue;
      // Already asked to close at an earlier check.
      if (session.closed) session.destroy();
      else session.close();
    }
  }
}

/** Does not begin requests that were reset as soon as they were made. */
export function skipReset(server: FastifyInstance): void {
  server.addHook('onRequest', ({ raw }, _reply, done) => {
    if (!(raw instanceof Http2ServerRequest)) {
      done();
      return;
    }
    // Frames that came in the same packet are processed by then.
    setImmediate(() => {
      const { stream } = raw;
      if (!stream.closed && !stream.destroyed && stream.session?.destroyed === false) done();
    });
  });
}

function refuse(stream: ServerHttp2Stream): void {
  if (!stream.headersSent) stream.respond({ ':status': constants.HTTP_STATUS_REQUEST_TIMEOUT }, { endStream: true });
  stream.close(constants.NGHTTP2_NO_ERROR);
}
