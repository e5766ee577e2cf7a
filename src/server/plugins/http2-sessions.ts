/** Bounds how long clients of HTTP/2 may hold a session or a stream; for those of HTTP/1.1, Node.js does. */
import { constants, Http2ServerRequest, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { FastifyInstance } from 'fastify';

/** Streams at the same time, on one connection. */
const MAX_STREAMS = 100;
/** Streams that were opened and are not known to be closed; who resets them in bulk comes to more. */
const MAX_OPENED = 3 * MAX_STREAMS;
/** Resets of one connection: at once, and in the long run in a second (CVE-2023-44487). */
const RESET_BURST = 400;
const RESET_RATE = 20;

/** What Node.js itself bounds. */
export const HTTP2_LIMITS = { settings: { maxConcurrentStreams: MAX_STREAMS }, streamResetBurst: RESET_BURST, streamResetRate: RESET_RATE } as const;

export interface Http2SessionsOptions {
  /** Within which a request must be there, in milliseconds. */
  readonly patience: number;
  /** How long a session may be without a stream, in milliseconds. */
  readonly keptAlive: number;
}

interface Session {
  streams: number;
  /** When the last of its streams ended, in milliseconds. */
  idleSince: number;
}

export class Http2Sessions {
  readonly #options: Http2SessionsOptions;
  readonly #sessions = new Map<ServerHttp2Session, Session>();
  /** Those whose request is not known to be there, and when they began. */
  readonly #requests = new Map<ServerHttp2Stream, number>();

  constructor(options: Http2SessionsOptions) {
    this.#options = options;
  }

  watch(session: ServerHttp2Session): void {
    const state: Session = { streams: 0, idleSince: performance.now() };
    this.#sessions.set(session, state);
    session.once('close', () => this.#sessions.delete(session));
    // It is silent with a reason while an answer is worked out, and may be noisy for none.
    session.setTimeout(0);
    session.on('stream', (stream) => {
      state.streams++;
      // Streams that are reset at once are not counted by the limit of those at the same time.
      if (state.streams > MAX_OPENED) session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
      if (!stream.endAfterHeaders) this.#requests.set(stream, performance.now());
      stream.once('close', () => {
        this.#requests.delete(stream);
        state.streams--;
        state.idleSince = performance.now();
      });
    });
  }

  /** Cuts off those that have had their time. Call it again and again. @param now as `performance.now()` has it */
  check(now: number): void {
    const { patience, keptAlive } = this.#options;
    for (const [stream, began] of this.#requests) {
      if (stream.state.state !== constants.NGHTTP2_STREAM_STATE_OPEN) this.#requests.delete(stream);
      else if (now - began > patience) refuse(stream);
    }
    for (const [session, { streams, idleSince }] of this.#sessions) {
      if (streams > 0 || now - idleSince <= keptAlive) continue;
      // Who does not take the farewell goes without it.
      if (session.closed) session.destroy();
      else session.close();
    }
  }
}

/** Has the routes of `app` not begin what was reset right after it was asked. */
export function skipReset(server: FastifyInstance): void {
  server.addHook('onRequest', ({ raw }, _reply, done) => {
    if (!(raw instanceof Http2ServerRequest)) {
      done();
      return;
    }
    // All that came together is known then.
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
