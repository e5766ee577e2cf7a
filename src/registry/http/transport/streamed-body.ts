/** The body of an answer as it comes, no faster than it is read. */
import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';

/** What a destroyed one says to undici unless there is a reason. */
const GIVEN_UP = 'nobody reads the answer any more';

/** Destroying it before its end ends the request. */
export class StreamedBody extends Readable {
  readonly #controller: Dispatcher.DispatchController;
  #ended = false;

  constructor(controller: Dispatcher.DispatchController) {
    super();
    this.#controller = controller;
  }

  receive(chunk: Buffer): void {
    if (!this.push(chunk)) this.#controller.pause();
  }

  end(): void {
    this.#ended = true;
    this.push(null);
  }

  fail(error: Error): void {
    this.#ended = true;
    this.destroy(error);
  }

  override _read(): void {
    this.#controller.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#ended) this.#controller.abort(error ?? new Error(GIVEN_UP));
    callback(error);
  }
}
