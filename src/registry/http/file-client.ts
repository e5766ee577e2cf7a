/** Fetches files from web servers that a registry's images name. */
import { LAYOUT_PREFIX } from '../registry-id.ts';
import { RegistryError } from '../registry-error.ts';
import type { AccessOptions, RequestOptions } from './access/access-options.ts';
import { ConnectionPools } from './transport/connection-pools.ts';
import { followRedirects } from './transport/redirects.ts';

/** Stands for a folder of image layouts, which is at no address. */
const NOWHERE = 'https://layout.invalid';
/** The most connections to one host. */
const CONNECTIONS = 4;

/** Settings of {@link FileClient}: of the registry whose images name the files. */
export interface FileClientOptions extends AccessOptions, Pick<RequestOptions, 'timeout' | 'userAgent'> {
  /** The registry's id. */
  readonly id: string;
}

/** Request for a file. */
export interface FileRequest {
  readonly accept: string;
  /** The most bytes. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

/**
 * Fetches files. They are at private addresses only where the registry may lead there, as its redirects may; no login is
 * sent.
 */
export class FileClient {
  readonly #connections: ConnectionPools;

  constructor({ id, privateRedirects, ...options }: FileClientOptions) {
    const isLayout = id.startsWith(LAYOUT_PREFIX);
    const url = isLayout ? NOWHERE : id;
    this.#connections = new ConnectionPools({
      ...options,
      url,
      origin: new URL(url).origin,
      privateRedirects: isLayout ? (privateRedirects ?? false) : privateRedirects,
      concurrency: CONNECTIONS,
    });
  }

  /**
   * Fetches a file.
   * @param url an `http` or `https` URL
   * @throws RegistryError if it cannot be had; the signal's reason
   */
  async fetch(url: string, { accept, limit, signal }: FileRequest): Promise<Buffer> {
    const { origin, pathname, search } = new URL(url);
    const { status, where, body } = await followRedirects(
      { method: 'GET', origin, path: pathname + search, accept, limit, signal },
      (request) => this.#connections.exchange(request),
    );
    if (status !== 200) throw new RegistryError('unavailable', `${where}: answered ${status}`);
    return body;
  }

  /** Closes all connections; pending requests fail. */
  close(): Promise<void> {
    return this.#connections.close();
  }
}
