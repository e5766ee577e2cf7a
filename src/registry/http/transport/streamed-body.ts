/** The body of an answer as a stream with backpressure. */
import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';

/** The reason that undici gets if the stream is destroyed without an error. */
const DESTROYED = 'the body was destroyed before its end';

/** A stream of a body. Destroying it before its end aborts the request. */
export class StreamedBody extends Readable {
  readonly #controller: Dispatcher.DispatchController;
  #ended = false;

  constructor(controller: Dispatcher.DispatchController) {
    super();
    this.#controller = controller;
  }

  /** Adds a chunk, and pauses the connection while the buffer is full. */
  receive(chunk: Buffer): void {
    if (!this.push(chunk)) this.#controller.pause();
  }

  /** Ends the stream. */
  end(): void {
    this.#ended = true;
    this.push(null);
  }

  /** Ends the stream with an error. */
  fail(error: Error): void {
    this.#ended = true;
    this.destroy(error);
  }

  override _read(): void {
    this.#controller.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#ended) this.#controller.abort(error ?? new Error(DESTROYED));
    callback(error);
  }
}
