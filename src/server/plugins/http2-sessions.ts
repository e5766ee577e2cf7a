/** Bounds how long clients of HTTP/2 may hold a session or a stream; for those of HTTP/1.1, Node.js does. */
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';

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

function refuse(stream: ServerHttp2Stream): void {
  if (!stream.headersSent) stream.respond({ ':status': constants.HTTP_STATUS_REQUEST_TIMEOUT }, { endStream: true });
  stream.close(constants.NGHTTP2_NO_ERROR);
}
