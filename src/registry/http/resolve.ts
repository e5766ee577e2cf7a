/** Resolves a tag to a descriptor (OCI distribution-spec, "Checking if content exists in the registry"). */
import { isDigest } from '../digest.ts';
import { MAX_MANIFEST_BYTES } from '../limits.ts';
import type { Descriptor } from '../manifest.ts';
import { MANIFEST_ACCEPT } from '../media-types.ts';
import { manifest } from './manifest.ts';
import { repositoryError, repositorySubject } from './repository.ts';
import { headerValue, mediaTypeOf, type HttpResponse } from './transport/http-message.ts';
import type { Transport } from './transport/transport.ts';

/** How long no HEAD is sent after one was refused, in milliseconds. */
const REFUSED_FOR = 10 * 60_000;
/** Statuses of a busy registry, which do not depend on the method. */
const BUSY: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** State of HEAD support of one registry. */
export class HeadSupport {
  #refusedUntil = Number.NEGATIVE_INFINITY;

  /** Sends HEAD if true, otherwise GET. */
  get supported(): boolean {
    return performance.now() >= this.#refusedUntil;
  }

  /**
   * Says whether this answer to a HEAD may be a refusal of the method, so that GET must be tried. A 404 is one, too.
   */
  isRefusal({ status, headers }: HttpResponse): boolean {
    const challenged = status === 401 && headers['www-authenticate'] !== undefined;
    return status !== 200 && !challenged && !BUSY.has(status);
  }

  /** Stops sending HEAD for ten minutes, after a GET succeeded where HEAD was refused. */
  markRefused(): void {
    this.#refusedUntil = performance.now() + REFUSED_FOR;
  }
}

/**
 * The descriptor that `tag` points to: by HEAD, or by reading the manifest if HEAD is refused or lacks headers.
 * @throws RegistryError, or the signal's reason.
 */
export async function resolve(
  transport: Transport,
  repository: string,
  tag: string,
  heads: HeadSupport,
  signal: AbortSignal | undefined,
): Promise<Descriptor> {
  if (!heads.supported) return read();
  const response = await transport.request({
    method: 'HEAD',
    path: `${transport.base}/${repository}/manifests/${tag}`,
    subject: repositorySubject(repository),
    accept: MANIFEST_ACCEPT,
    limit: MAX_MANIFEST_BYTES,
    signal,
  });
  if (response.status === 200) return descriptorOf(response) ?? read();
  if (!heads.isRefusal(response)) throw repositoryError(transport, response);
  const descriptor = await read();
  heads.markRefused();
  return descriptor;

  async function read(): Promise<Descriptor> {
    const { mediaType, digest, size } = await manifest(transport, repository, tag, signal);
    return { mediaType, digest, size };
  }
}

function descriptorOf({ headers }: HttpResponse): Descriptor | undefined {
  const digest = headers['docker-content-digest'];
  const mediaType = mediaTypeOf(headers);
  const length = headerValue(headers, 'content-length');
  if (!isDigest(digest) || mediaType === undefined || length === undefined || !/^\d{1,15}$/.test(length))
    return undefined;
  return { mediaType, digest, size: Number(length) };
}
