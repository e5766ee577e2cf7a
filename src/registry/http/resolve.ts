/** Asks what a tag points to (OCI distribution-spec, "Checking if content exists in the registry"). */
import { isDigest } from '../digest.ts';
import { MAX_MANIFEST_BYTES } from '../limits.ts';
import type { Descriptor } from '../manifest.ts';
import { MANIFEST_ACCEPT } from '../media-types.ts';
import type { HeadTrust } from './head-trust.ts';
import { manifest } from './manifest.ts';
import { repositoryError, ofRepository } from './repository.ts';
import { headerValue, mediaTypeOf, type HttpResponse } from './transport/http-message.ts';
import type { Transport } from './transport/transport.ts';

/** The descriptor of what `tag` points to: by HEAD, or where the registry refuses it or says too little in it, by reading the manifest. */
export async function resolve(transport: Transport, repository: string, tag: string, heads: HeadTrust, signal: AbortSignal | undefined): Promise<Descriptor> {
  if (!heads.trusted) return read();
  const response = await transport.request({
    method: 'HEAD',
    path: `${transport.base}/${repository}/manifests/${tag}`,
    subject: ofRepository(repository),
    accept: MANIFEST_ACCEPT,
    limit: MAX_MANIFEST_BYTES,
    signal,
  });
  if (response.status === 200) return descriptorOf(response) ?? read();
  if (!heads.mayBeRefused(response)) throw repositoryError(transport, response);
  const descriptor = await read();
  heads.distrust();
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
  if (!isDigest(digest) || mediaType === undefined || length === undefined || !/^\d{1,15}$/.test(length)) return undefined;
  return { mediaType, digest, size: Number(length) };
}
