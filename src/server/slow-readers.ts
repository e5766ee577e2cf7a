/** Cuts off clients that take an answer so slowly that it holds its place for nothing. */
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';

/** What a client takes at least, once its patience is over; in bytes a second. */
const LEAST_RATE = 4096;

/** What an answer is written to. */
export type Reader = Socket | ServerHttp2Stream;

interface Behind {
  /** Since when something has been waiting to be taken, in milliseconds; `undefined` while nothing is. */
  since: number | undefined;
  /** Bytes that were taken before. */
  before: number;
}

export class SlowReaders {
  readonly #patience: number;
  readonly #readers = new Map<Reader, Behind>();

  /** @param patience how long a reader may be slower than that, in milliseconds */
  constructor(patience: number) {
    this.#patience = patience;
  }

  watch(reader: Reader): void {
    this.#readers.set(reader, { since: undefined, before: 0 });
    reader.once('close', () => this.#readers.delete(reader));
  }

  /** Cuts off those that are too slow. Call it again and again. @param now milliseconds on any clock */
  check(now: number): void {
    for (const [reader, behind] of this.#readers) {
      if (reader.writableLength === 0) behind.since = undefined;
      else if (behind.since === undefined) {
        behind.since = now;
        behind.before = 'bytesWritten' in reader ? reader.bytesWritten - reader.writableLength : 0;
      } else if (now - behind.since > this.#patience + ((bytesOf(reader) - behind.before) / LEAST_RATE) * 1000) cutOff(reader);
    }
  }
}

/** Ends it, whatever has not been taken. */
export function cutOff(reader: Reader): void {
  if (!('bytesWritten' in reader)) reader.close(constants.NGHTTP2_CANCEL);
  reader.destroy();
}

/** Those that were taken and those that wait to be; of a stream, all that there will be. */
function bytesOf(reader: Reader): number {
  return 'bytesWritten' in reader ? reader.bytesWritten : Number(reader.sentHeaders?.['content-length'] ?? 0);
}
