/** Trusted authorities and client certificates of each host (TLS), reloaded when their files change. */
import { readFile } from 'node:fs/promises';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { messageOf } from '../../../system/message-of.ts';
import { RegistryError } from '../../registry-error.ts';
import type { AccessOptions } from './access-options.ts';
import { findCertificateFiles, parseCertificates, type CertificateFiles } from './certificate-files.ts';
import { fileStamp } from './file-stamp.ts';

/** The most contexts kept. A registry may redirect to any number of hosts; most have no files of their own. */
const MAX_CONTEXTS = 20;

/** Settings of {@link Certificates}. */
export interface CertificatesOptions extends Pick<AccessOptions, 'caFile' | 'clientCert' | 'clientKey' | 'certsDirs'> {
  /** The registry's origin, which alone is shown the configured client certificate. */
  readonly origin: string;
}

/** Makes the TLS contexts for connections to a registry and to the hosts that it names. */
export class Certificates {
  readonly #options: CertificatesOptions;
  /** Contexts by the stamps of their files. */
  readonly #contexts = new LRUCache<string, Promise<SecureContext>>({ max: MAX_CONTEXTS });

  constructor(options: CertificatesOptions) {
    this.#options = options;
  }

  /**
   * The TLS context for connections to `origin`. It trusts the authorities of Node.js, of the system, of the folders of
   * `origin` and of the registry, and of `caFile`.
   * @throws RegistryError `unavailable` if a file cannot be read or used.
   */
  async contextFor(origin: string): Promise<SecureContext> {
    try {
      const files = await this.#filesFor(origin);
      const paths = [...files.authorities, ...(files.client ? [files.client.cert, files.client.key] : [])];
      const stamps = await Promise.all(paths.map(async (path) => `${path} ${await fileStamp(path)}`));
      const made = JSON.stringify(stamps);
      let context = this.#contexts.get(made);
      if (context === undefined) {
        context = createContext(files);
        this.#contexts.set(made, context);
        context.catch(() => this.#contexts.delete(made));
      }
      return await context;
    } catch (cause) {
      const local = `: ${messageOf(cause)}`;
      throw new RegistryError('unavailable', `cannot load the certificates for ${origin}${local}`, { cause, local });
    }
  }

  async #filesFor(origin: string): Promise<CertificateFiles> {
    const { origin: own, certsDirs = [], caFile, clientCert, clientKey } = this.#options;
    const its = await findCertificateFiles(certsDirs, origin);
    const { authorities } = origin === own ? its : await findCertificateFiles(certsDirs, own);
    const configured = origin === own && clientCert !== undefined && clientKey !== undefined;
    return {
      authorities: [...new Set([...(caFile === undefined ? [] : [caFile]), ...its.authorities, ...authorities])],
      client: configured ? { cert: clientCert, key: clientKey } : its.client,
    };
  }
}

async function createContext({ authorities, client }: CertificateFiles): Promise<SecureContext> {
  const own = await Promise.all(
    authorities.map((path) => named(path, async () => parseCertificates(await readFile(path, 'utf8')))),
  );
  const ca = [...new Set([...getCACertificates('default'), ...getCACertificates('system'), ...own.flat()])];
  if (client === undefined) return createSecureContext({ ca });
  const { cert, key } = client;
  const pair = { cert: await readFile(cert), key: await readFile(key) };
  return named(`${cert} and ${key}`, () => createSecureContext({ ca, ...pair }));
}

/** Runs `read`, and adds `path` to the message of an error. */
async function named<T>(path: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new Error(`${path}: ${messageOf(cause)}`, { cause });
  }
}
