/** The certificate and key that a server shows, and the files that they are in. */
import { watchFile, unwatchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { messageOf } from '../../system/message-of.ts';

/** How often it is looked whether files have changed, in milliseconds. */
const INTERVAL = 2_000;

/** PEM. */
export interface KeyPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Paths. */
export interface KeyPairFiles {
  readonly cert: string;
  readonly key: string;
}

/** Says which files cannot be used, and why. */
export class KeyPairError extends Error {
  override readonly name = 'KeyPairError';
  readonly code = 'REGINDEXER_KEY_PAIR';
}

/** @throws KeyPairError if a file cannot be read, or the two do not belong together. */
export async function readKeyPair({ cert, key }: KeyPairFiles): Promise<KeyPair> {
  try {
    const pair = { cert: await readFile(cert), key: await readFile(key) };
    createSecureContext(pair);
    return pair;
  } catch (cause) {
    throw new KeyPairError(`server.tls: ${cert} and ${key} cannot be used: ${messageOf(cause)}`, { cause });
  }
}

export interface KeyPairEvents {
  onChange(pair: KeyPair): void;
  /** What is there cannot be used; it is looked at again when it changes. */
  onFault(error: unknown): void;
}

/**
 * Looks again and again whether the files have changed. By their paths: files are renamed into place, and links to them or to their
 * folders are led elsewhere, as certbot and Kubernetes do it; who watches a file or a folder sees only some of that.
 */
export class KeyPairWatch implements Disposable {
  readonly #files: KeyPairFiles;
  readonly #events: KeyPairEvents;
  readonly #onChange = (): void => void this.#read();
  #reading: Promise<void> = Promise.resolve();

  /** @param interval in milliseconds; 2 s unless given */
  constructor(files: KeyPairFiles, events: KeyPairEvents, interval: number = INTERVAL) {
    this.#files = files;
    this.#events = events;
    for (const path of [files.cert, files.key]) watchFile(path, { interval, persistent: false }, this.#onChange);
  }

  [Symbol.dispose](): void {
    for (const path of [this.#files.cert, this.#files.key]) unwatchFile(path, this.#onChange);
  }

  /** One after the other, so that the last one read is the last one told. */
  #read(): Promise<void> {
    this.#reading = this.#reading.then(async () => {
      try {
        this.#events.onChange(await readKeyPair(this.#files));
      } catch (error) {
        this.#events.onFault(error);
      }
    });
    return this.#reading;
  }
}
