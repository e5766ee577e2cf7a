/** One HTTP request and its answer, read completely with a timeout and a size limit, or streamed. */
import type { Dispatcher } from 'undici';
import { onAbort } from '../../../system/on-abort.ts';
import { RegistryError } from '../../registry-error.ts';
import { contentEncoding, headersUnpacked, isGzip, unpackBody, unpackStream } from './content-encoding.ts';
import { describeRequest, type HttpHeaders, type HttpRequest, type HttpResponse } from './http-message.ts';
import { StreamedBody } from './streamed-body.ts';

/** The most bytes that are read of the body of a failure. */
const MAX_EXPLANATION = 64 * 1024;

/** Settings and callbacks of one {@link Exchange}. */
export interface ExchangeOptions {
  /** The time for the whole exchange, or until a streamed body begins, in milliseconds. */
  readonly timeout: number;
  /** Called once: with the status when the answer begins, or with the reason why there is none. */
  readonly onOutcome: (outcome: { readonly status: number } | { readonly error: string }) => void;
  readonly resolve: (response: HttpResponse) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Receives the answer to one request from undici, and resolves with it or rejects with a RegistryError or the signal's
 * reason. The timeout covers connecting, headers and body, so that a dripping answer ends, too; a streamed body has
 * undici's `bodyTimeout`.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: HttpRequest;
  readonly #onOutcome: ExchangeOptions['onOutcome'];
  readonly #resolve: (response: HttpResponse) => void;
  readonly #reject: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #forgetAbort: (() => void) | undefined;
  readonly #chunks: Buffer[] = [];
  #controller: Dispatcher.DispatchController | undefined;
  #failure: Error | undefined;
  #settled = false;
  #sentAt = 0;
  #latency = 0;
  #status = 0;
  #headers: HttpHeaders = {};
  /** The body is compressed with gzip. */
  #packed = false;
  #length = 0;
  #stream: StreamedBody | undefined;

  constructor(request: HttpRequest, { timeout, onOutcome, resolve, reject }: ExchangeOptions) {
    this.#request = request;
    this.#onOutcome = onOutcome;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#timer = setTimeout(() => {
      this.#fail(
        new RegistryError('unavailable', `${describeRequest(request)}: no complete answer within ${timeout / 1000} s`, {
          cause: new DOMException('timed out', 'TimeoutError'),
        }),
      );
    }, timeout);
    const { signal } = request;
    this.#forgetAbort = signal && onAbort(signal, () => this.#fail(signal.reason));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#failure) controller.abort(this.#failure);
    else this.#controller = controller;
    this.#sentAt = performance.now();
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: HttpHeaders): void {
    if (status < 200) return;
    this.#latency = performance.now() - this.#sentAt;
    this.#onOutcome({ status });
    this.#status = status;
    this.#headers = headers;
    const encoding = contentEncoding(headers);
    if (status >= 300) {
      this.#packed = encoding !== undefined && isGzip(encoding);
      return;
    }
    if (encoding !== undefined) {
      // A range of compressed bytes cannot be decompressed.
      if (!isGzip(encoding) || status === 206) {
        this.#fail(
          new RegistryError(
            'malformed',
            `${describeRequest(this.#request)}: answered in content-encoding ${encoding}, which was not requested`,
          ),
        );
        return;
      }
      this.#packed = true;
      this.#headers = headersUnpacked(headers);
    }
    if (this.#request.streamed === true && this.#request.method !== 'HEAD') {
      this.#startStream(controller);
    } else if (this.#request.method !== 'HEAD' && Number(headers['content-length']) > this.#request.limit) {
      this.#failTooLarge();
    }
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stream) this.#stream.receive(chunk);
    if (this.#settled) return;
    this.#length += chunk.length;
    this.#chunks.push(chunk);
    if (this.#status < 300) {
      if (this.#length > this.#request.limit) this.#failTooLarge();
    } else if (this.#length > MAX_EXPLANATION) {
      this.onResponseEnd();
      this.#controller?.abort(new Error('enough of the error was read'));
    }
  }

  onResponseEnd(): void {
    this.#stream?.end();
    if (!this.#settle()) return;
    const [first] = this.#chunks;
    const body = first !== undefined && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks, this.#length);
    const response = {
      where: describeRequest(this.#request),
      status: this.#status,
      headers: this.#headers,
      latency: this.#latency,
    };
    if (!this.#packed) this.#resolve({ ...response, body });
    // The body of a failure may be cut off, and cannot be decompressed then.
    else if (this.#status >= 300)
      unpackBody(body, MAX_EXPLANATION, response.where).then(
        (unpacked) => this.#resolve({ ...response, body: unpacked }),
        () => this.#resolve({ ...response, body }),
      );
    else
      unpackBody(body, this.#request.limit, response.where).then(
        (unpacked) => this.#resolve({ ...response, body: unpacked }),
        this.#reject,
      );
  }

  onResponseError(_controller: unknown, cause: Error): void {
    // An answer that has begun was reported already.
    if (this.#status === 0)
      this.#onOutcome({ error: (this.#failure ?? cause).message.replace(`${describeRequest(this.#request)}: `, '') });
    this.#stream?.fail(this.#explained(cause));
    if (this.#settle()) this.#reject(this.#explained(cause));
  }

  #startStream(controller: Dispatcher.DispatchController): void {
    if (!this.#settle()) return;
    const where = describeRequest(this.#request);
    this.#stream = new StreamedBody(controller);
    const stream = this.#packed ? unpackStream(this.#stream, where) : this.#stream;
    this.#resolve({
      where,
      status: this.#status,
      headers: this.#headers,
      latency: this.#latency,
      body: Buffer.alloc(0),
      stream,
    });
  }

  #explained(cause: Error): RegistryError {
    const where = describeRequest(this.#request);
    if (cause instanceof RegistryError) return new RegistryError(cause.code, `${where}: ${cause.message}`, { cause });
    const tooLarge = 'code' in cause && cause.code === 'UND_ERR_HEADERS_OVERFLOW';
    const message = `${where}: ${tooLarge ? 'the headers of the answer are too large' : describe(cause)}`;
    return new RegistryError(tooLarge ? 'too-large' : 'unavailable', message, { cause });
  }

  #failTooLarge(): void {
    this.#fail(
      new RegistryError(
        'too-large',
        `${describeRequest(this.#request)}: the answer is larger than ${this.#request.limit} bytes`,
      ),
    );
  }

  /** Rejects, and closes the connection, because the rest of the answer is not read. */
  #fail(reason: unknown): void {
    if (!this.#settle()) return;
    this.#failure = reason instanceof Error ? reason : new Error('aborted', { cause: reason });
    this.#reject(reason);
    this.#controller?.abort(this.#failure);
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#forgetAbort?.();
    return true;
  }
}

/**
 * The message of a connection error. That of an AggregateError, for several addresses of a host, is empty in Node.js.
 */
function describe(error: Error): string {
  if (error instanceof AggregateError)
    return error.errors.map((each: unknown) => (each instanceof Error ? describe(each) : String(each))).join('; ');
  const { code, reason } = error as NodeJS.ErrnoException & { readonly reason?: unknown };
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER')
    return 'the server does not speak TLS on this port; if it speaks plain HTTP, start the URL with http://';
  if (code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' || isHttp2(error))
    return 'the server speaks only HTTP/2; enable HTTP/1.1 in the server or proxy in front of the registry';
  if (code?.startsWith('ERR_SSL_') === true && typeof reason === 'string')
    return `no TLS connection could be made: ${reason}`;
  return error.message || error.name;
}

/** Says whether an answer that is not HTTP/1.1 begins with the frame SETTINGS of HTTP/2 (RFC 9113, section 3.4). */
function isHttp2(error: Error): boolean {
  return 'data' in error && typeof error.data === 'string' && error.data.startsWith('\0') && error.data[3] === '\u0004';
}
