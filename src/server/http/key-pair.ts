/** The certificate and key of a TLS server, read from files. */
import { watchFile, unwatchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { messageOf } from '../../system/message-of.ts';

/** Interval at which files are checked for changes, in milliseconds. */
const INTERVAL = 2_000;

/** A certificate chain and its private key, in PEM. */
export interface KeyPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Paths of the files of a {@link KeyPair}. */
export interface KeyPairFiles {
  readonly cert: string;
  readonly key: string;
}

/** The files of a key pair cannot be used; the message names them and says why. */
export class KeyPairError extends Error {
  override readonly name = 'KeyPairError';
  readonly code = 'REGINDEXER_KEY_PAIR';
}

/**
 * Reads and validates a key pair.
 * @throws KeyPairError if a file cannot be read, or the two do not belong together
 */
export async function readKeyPair({ cert, key }: KeyPairFiles): Promise<KeyPair> {
  try {
    const pair = { cert: await readFile(cert), key: await readFile(key) };
    createSecureContext(pair);
    return pair;
  } catch (cause) {
    throw new KeyPairError(`server.tls: ${cert} and ${key} cannot be used: ${messageOf(cause)}`, { cause });
  }
}

/** Callbacks of {@link KeyPairWatch}. */
export interface KeyPairEvents {
  onChange(pair: KeyPair): void;
  /** Called if the changed files are invalid; they are read again at the next change. */
  onFault(error: unknown): void;
}

/**
 * Polls the files of a key pair for changes. `fs.watch` would miss some: certbot and Kubernetes rename files into
 * place, or replace links to them or their folders.
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

  /** Reads one pair after the other, so that the newest is reported last. */
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
